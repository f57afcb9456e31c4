import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, type Address } from "../../src/address.ts";
import { Store } from "../../src/store.ts";

const store = new Store();
const usual = { look: store.look.value, overlays: store.overlays.value };
const plain: Address = {
  series: null, image: null, of: null, look: usual.look, overlays: usual.overlays, rings: [], part: null, region: null, spot: null, layout: null,
};

test("what is as usual is not in the address", () => {
  assert.equal(encode(plain, usual), "");
  assert.deepEqual(decode("", usual), { address: plain, troubles: [] });
  assert.deepEqual(decode("#", usual), { address: plain, troubles: [] });
});

test("an address that somebody wrote", () => {
  const { address, troubles } = decode("#series/7/image/1234?layer=significance&part=10:20.5,-3:40&roi=beam stop&overlays=spots,rings&layout=serial", usual);
  assert.deepEqual(troubles, []);
  assert.equal(address.series, "7");
  assert.equal(address.image, 1234);
  assert.equal(address.look.layer, "significance");
  assert.equal(address.look.bin, usual.look.bin);
  assert.deepEqual(address.part, { slow0: 10, slow1: 20.5, fast0: -3, fast1: 40 });
  assert.equal(address.region, "beam stop");
  assert.deepEqual(Object.entries(address.overlays).filter(([, on]) => on).map(([name]) => name).sort(), ["rings", "spots"]);
  assert.equal(address.layout, "serial");
});

test("all that is shown comes back, whatever signs are in it", () => {
  // numbers without Math.random, so that a failure can be seen again
  let state = 7;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const names = ["7", "a/b c", "file:/data/x y&z=1#2?.h5", "é\u4e2d%25%", "..", "+", "<b>"];
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const maybe = <T>(value: T): T | null => (random() < 0.5 ? value : null);
  for (let count = 0; count < 500; count += 1) {
    const held = random() < 0.5;
    const series = maybe(pick(names));
    const overlays = Object.fromEntries(Object.keys(usual.overlays).map((name) => [name, random() < 0.5])) as unknown as Address["overlays"];
    const low = Math.round(random() * 1000) / 8;
    const automatic = random() < 0.5;
    const number = (): number => Math.round((random() * 5000 - 500) * 4) / 4;
    const [slow0, fast0] = [number(), number()];
    const address: Address = {
      series,
      image: held ? Math.floor(random() * 1e6) : null,
      of: null,
      look: {
        layer: pick(["counts", "background", "significance", "subtracted", "mask"]), bin: pick(["max", "mean", "sum"]), last: pick([1, 2, 100]),
        of: pick(["sum", "max"]), frame: pick(["detector", "laboratory"]), color: pick(["indigo", "viridis", "gray"]),
        scale: pick(["linear", "sqrt", "log"]), invert: random() < 0.5, automatic,
        low: automatic ? usual.look.low : low, high: automatic ? usual.look.high : low + 3,
      },
      overlays,
      rings: random() < 0.5 ? [] : [3.67, 2.25],
      part: maybe({ slow0, slow1: slow0 + 10, fast0, fast1: fast0 + 20.5 }),
      region: maybe(pick(names)),
      spot: held ? maybe(Math.floor(random() * 100)) : null,
      layout: maybe(pick(["serial", "my.layout"])),
    };
    if (held && series === null) address.of = pick(names);
    const words = encode(address, usual);
    assert.match(words, /^[\x21-\x7e]*$/, words);
    const back = decode(`#${words}`, usual);
    assert.deepEqual(back.troubles, [], words);
    assert.deepEqual(back.address, address, words);
  }
});

test("the wrong parts of an address are named, and the others taken", () => {
  const wrong = [
    "layer=count", "bin=", "last=0", "last=1e3", "levels=1", "levels=a:b", "part=1:2", "part=5:1,0:1", "part=1:2,3:4,5:6", "overlays=spots,birds",
    "rings=-1", "rings=", "invert=yes", "spot=-1", "roi=", "layout=", "color=<b>", "zoom=3", "layer", "roi=%E0%A4", "newest=1",
  ];
  for (const part of wrong) {
    const { address, troubles } = decode(`#series/7?${part}&scale=log`, usual);
    assert.deepEqual(troubles, [part], part);
    assert.equal(address.series, "7");
    assert.equal(address.look.scale, "log");
  }
  assert.deepEqual(decode("#series/7/image/x", usual).troubles, ["image/x"]);
  assert.deepEqual(decode("#image/4", usual).troubles, ["image/4"]);
  assert.deepEqual(decode("#serie/7/image/4", usual).troubles, ["serie/7", "image/4"]);
  assert.deepEqual(decode("#series", usual).troubles, ["series"]);
});

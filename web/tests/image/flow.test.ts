import assert from "node:assert/strict";
import { test } from "node:test";
import type { Status } from "../../src/api_types.ts";
import { axisOf } from "../../src/image/contrast_bar.ts";
import { stepped } from "../../src/image/held.ts";
import { LinePace, MOST_BLOCKS, rateOfPage } from "../../src/image/line_pace.ts";
import { lookQuery, partQuery } from "../../src/image/requests.ts";
import { inView, radiusOf } from "../../src/image/spots.ts";
import { told, type Situation } from "../../src/image/status.ts";
import { SAME, View } from "../../src/image/view.ts";
import { Store } from "../../src/store.ts";

test("steps go to images that are held, and stop at the ends", () => {
  const held = [3, 4, 7, 8, 20];
  assert.equal(stepped(held, 7, 1), 8);
  assert.equal(stepped(held, 7, -1), 4);
  assert.equal(stepped(held, 5, 1), 7); // one that has left
  assert.equal(stepped(held, 5, -1), 4);
  assert.equal(stepped(held, 7, -5), 3);
  assert.equal(stepped(held, 7, Infinity), 20);
  assert.equal(stepped(held, 7, -Infinity), 3);
  assert.equal(stepped(held, 20, 1), null);
  assert.equal(stepped(held, 3, -1), null);
  assert.equal(stepped([], 3, 1), null);
});

const books = { expected: 100, received: 50, analysed: 50, skipped: 0, failed: 0, in_flight: 0, missing: 0, late: 0, duplicate: 0, dropped: null, ended: false, last: 49 };
const status = (more = {}, state = "measuring"): Status =>
  ({ state, series: { series: "7-a", expected: 100, books: { ...books, ...more } } }) as unknown as Status;
const situation = (more: Partial<Situation> = {}): Situation => ({
  mode: "live", source: "stream", line: "open", status: status(), image: { series: "7-a", number: 49 },
  flow: { gone: false, trouble: null, asking: false, coarser: 1, came: 1000 }, hit: null, now: 1100, ...more,
});

test("what is live is told to be, and nothing else is", () => {
  assert.deepEqual(told(situation()), { badge: "live", tone: "good", details: [] });
  assert.deepEqual(told(situation({ hit: true })).details, ["hit"]);
  const down = told(situation({ line: "closed", now: 13_400 }));
  assert.equal(down.tone, "bad");
  assert.match(down.details.join(), /12 s old/);
  assert.equal(told(situation({ status: null, line: "connecting" })).tone, "bad");
  assert.equal(told(situation({ status: status({ ended: true }, "idle") })).badge, "last image");
  assert.deepEqual(told(situation({ status: status({ ended: true }, "idle") })).details, ["complete"]);
  assert.deepEqual(told(situation({ status: status({ ended: true, missing: 3 }, "idle") })).details, ["3 missing"]);
  assert.equal(told(situation({ image: null })).details[0], "waiting for the first image");
});

test("a live image that stands still while others come is told to be behind", () => {
  const late = told(situation({ status: status({ last: 80 }), now: 5000 }));
  assert.deepEqual(late.details, ["31 behind"]);
  assert.equal(late.tone, "warn");
  assert.deepEqual(told(situation({ status: status({ last: 80 }) })).details, []);
});

test("a picture that is still the one before is told to be", () => {
  const flow = { ...situation().flow, asking: true };
  const slow = told(situation({ mode: "hold", flow, hit: true }));
  assert.equal(slow.tone, "warn");
  assert.match(slow.details.join(), /the one before/);
  assert.ok(!slow.details.includes("hit"));
  assert.match(told(situation({ source: "files", flow })).details.join(), /the one before/);
});

test("before the first series the page waits, whatever is not held", () => {
  const flow = { ...situation().flow, trouble: "image -1 is not held" };
  const idle = { ...status(), series: null };
  assert.deepEqual(told(situation({ image: null, flow, status: idle })).details, ["waiting for the first image"]);
  assert.deepEqual(told(situation({ image: null, flow })).details, ["image -1 is not held"]);
});

test("what is held is told to be, and that it is gone", () => {
  assert.equal(told(situation({ mode: "hold" })).badge, "held");
  const { flow } = situation();
  const gone = told(situation({ mode: "hold", flow: { ...flow, gone: true } }));
  assert.equal(gone.tone, "warn");
  assert.match(gone.details.join(), /no longer/);
  assert.equal(told(situation({ image: { series: "file:a.h5", number: 3 }, mode: "hold" })).badge, "file");
});

/** Views over a line of so many bytes in a ms, of 2000 x 2000 px whose blocks take 0.45 bytes; of the last one, what was. */
function views(pace: LinePace, count: number, rate: number, delay = 20): { factor: number; line: number } {
  let last = { factor: 0, line: 0 };
  for (let at = 0; at < count; at += 1) {
    let factor = 3;
    while (Math.ceil(2000 / factor) ** 2 > pace.most) factor += 1;
    const blocks = Math.ceil(2000 / factor) ** 2, bytes = 0.45 * blocks, line = delay + bytes / rate;
    pace.took({ bytes, blocks, factor, line });
    last = { factor, line };
  }
  return last;
}

test("on a slow line blocks become larger, and smaller again when it is fast", () => {
  const pace = new LinePace();
  assert.deepEqual(views(pace, 50, 1e5).factor, 3);
  assert.equal(pace.most, MOST_BLOCKS);
  // 10 Mbit/s: the blocks of the screen would take 180 ms
  const slow = views(pace, 40, 1250);
  assert.ok(slow.line < 90 && slow.line > 40, String(slow.line));
  assert.equal(views(pace, 400, 1250).factor, slow.factor); // it does not go back and forth
  assert.ok(views(pace, 40, 300).line < 90);
  assert.equal(views(pace, 400, 1e5).factor, 3);
});

test("a moment in which all is slow is over when it is over", () => {
  const pace = new LinePace();
  const view = (factor: number, line: number): boolean => {
    const blocks = Math.ceil(512 / factor) ** 2;
    return pace.took({ bytes: 0.41 * blocks, blocks, factor, line });
  };
  for (let at = 0; at < 20; at += 1) view(2, 42);
  for (let at = 0; at < 3; at += 1) view(2, 180); // the machine has something else to do
  assert.ok(pace.most < 256 * 256);
  for (let at = 0; at < 20; at += 1) view(3, 37);
  assert.ok(pace.most >= 256 * 256);
});

test("blocks that were too small are not tried again and again", () => {
  const pace = new LinePace();
  let tries = 0;
  for (let at = 0; at < 3000; at += 1) {
    const small = pace.most >= 160_000, blocks = small ? 160_000 : 110_000;
    if (pace.took({ bytes: 60_000, blocks, factor: small ? 5 : 6, line: small ? 120 : 40 }) && !small) tries += 1;
  }
  assert.ok(tries > 1 && tries < 9, String(tries));
});

test("neither small views nor an unknown time make blocks larger", () => {
  const pace = new LinePace();
  for (let at = 0; at < 50; at += 1) {
    pace.took({ bytes: 1000, blocks: 250_000, factor: 3, line: 400 });
    pace.took({ bytes: 200_000, blocks: 250_000, factor: 3, line: null });
  }
  assert.equal(pace.most, MOST_BLOCKS);
});

test("the first view is as large as the files of the page tell", () => {
  const file = (transferSize: number, took: number) => ({ transferSize, responseStart: 100, responseEnd: 100 + took });
  assert.equal(rateOfPage([]), null);
  assert.equal(rateOfPage([file(0, 5), file(2000, 1)]), null); // from the cache of the browser
  assert.equal(rateOfPage([file(20_000, 3), file(200_000, 160), file(0, 1)]), 1250);
  assert.ok(new LinePace(1250).most < 200_000);
  assert.equal(new LinePace(1e6).most, MOST_BLOCKS);
});

test("a view is asked for by what differs from the usual", () => {
  const look = new Store().look.value;
  assert.deepEqual(lookQuery(look), { layer: "counts", bin: "max" });
  assert.deepEqual(lookQuery({ ...look, last: 5, of: "max", frame: "laboratory" }), { layer: "counts", bin: "max", last: 5, of: "max", frame: "laboratory" });
  assert.deepEqual(partQuery({ slow: [2, 10], fast: [0, 20], factor: 2, size: [4, 10] }), { slow: "2:10", fast: "0:20", size: "10x4" });
  assert.deepEqual(partQuery(null), { size: "1000x1000" });
  assert.deepEqual(partQuery(null, 90_500), { size: "300x300" });
});

test("spots in view are those on the screen", () => {
  const view = new View({ width: 100, height: 80, ratio: 1, zoom: 2, slow0: 10, fast0: 20, shape: [500, 500], mapping: SAME });
  const columns = { slow: [11, 49, 51, 5, 30], fast: [21, 69, 21, 21, 75] };
  assert.deepEqual([...inView(columns, view, 0)], [0, 2, 2, 1, 98, 78]);
  const odd = new View({ ...view, mapping: { ...SAME, toShown: (slow, fast) => (slow < 20 ? null : { slow: slow + 1, fast }) } });
  assert.deepEqual([...inView(columns, odd, 0)], [1, 98, 80]);
  assert.ok(radiusOf(10, 1) < radiusOf(1000, 1));
  assert.ok(radiusOf(null, 1) > 0);
  assert.ok(radiusOf(10, 20) > 40);
  // where a whole detector is on the screen the circles must not cover what they show
  assert.ok(radiusOf(100, 0.25) <= 4.5 && radiusOf(1e6, 0.25) < 7 && radiusOf(1, 0.05) >= 1.5);
});

test("the axis of the contrast holds all values and both ends", () => {
  const head = { layer: "counts" } as never;
  const { range } = axisOf({ head, levels: { low: 0, high: 9, min: 0, max: 70_000 }, contrast: { low: -5, high: 20 } });
  assert.ok(range.low <= -5 && range.high >= 70_000);
  assert.deepEqual(axisOf({ head: { layer: "significance" } as never, levels: { low: 0, high: 9, min: 0, max: 9 }, contrast: { low: -8, high: 8 } }), {
    range: { low: -12, high: 12 }, scale: "linear",
  });
});

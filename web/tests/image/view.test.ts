import assert from "node:assert/strict";
import { test } from "node:test";
import { asked, fitted, inMiddle, MOST_ZOOM, movedBy, resized, SAME, showing, View, zoomedAt } from "../../src/image/view.ts";

const view = (fields: Partial<View> = {}): View =>
  new View({ width: 800, height: 600, ratio: 1, zoom: 2, slow0: 10, fast0: 20, shape: [1000, 900], mapping: SAME, ...fields });

const close = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-9 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

test("places go to the screen and come back", () => {
  const at = view().toScreen(110, 70);
  assert.deepEqual(at, { x: 100, y: 200 });
  assert.deepEqual(view().fromScreen(at.x, at.y), { slow: 110, fast: 70 });
  assert.deepEqual(view().part, { slow0: 10, slow1: 310, fast0: 20, fast1: 420 });
});

test("zooming leaves what is under the pointer where it is", () => {
  for (const factor of [0.5, 1.25, 3, 1e9]) {
    const before = view().fromScreen(300, 250);
    const after = zoomedAt(view(), factor, 300, 250);
    if (factor < 1) continue; // the middle of the canvas stays in the picture, see below
    const there = after.toScreen(before.slow, before.fast);
    close(there.x, 300);
    close(there.y, 250);
    assert.ok(after.zoom <= MOST_ZOOM);
  }
});

test("the picture cannot be moved out of sight", () => {
  for (const [x, y] of [[1e6, 1e6], [-1e6, -1e6]] as const) {
    const moved = movedBy(view(), x, y);
    const middle = moved.fromScreen(400, 300);
    assert.ok(middle.slow >= 0 && middle.slow <= 1000 && middle.fast >= 0 && middle.fast <= 900);
  }
  const some = movedBy(view({ slow0: 300, fast0: 300 }), 30, -10);
  close(some.fast0, 285);
  close(some.slow0, 305);
});

test("what was looked at may be beyond another picture", () => {
  assert.ok(inMiddle(view()));
  assert.ok(inMiddle(view({ shape: [160, 220] })));
  assert.ok(!inMiddle(view({ shape: [159, 220] })));
  assert.ok(!inMiddle(view({ shape: [160, 219] })));
});

test("all of the picture fits, in the middle", () => {
  const made = fitted(view());
  const low = made.toScreen(0, 0), high = made.toScreen(1000, 900);
  assert.ok(low.x > 0 && low.y > 0 && high.x < 800 && high.y < 600);
  close(low.x, 800 - high.x);
  close(low.y, 600 - high.y);
});

test("a part fills the canvas along one side", () => {
  const made = showing(view(), { slow0: 100, slow1: 200, fast0: 100, fast1: 150 });
  close(made.zoom, 6);
  close(made.part.slow0, 100);
  close(made.part.slow1, 200);
  close((made.part.fast0 + made.part.fast1) / 2, 125);
});

test("after a change of size the middle is the same", () => {
  const before = view().fromScreen(400, 300);
  const made = resized(view(), 500, 700, 2);
  const at = made.toScreen(before.slow, before.fast);
  close(at.x, 250);
  close(at.y, 350);
});

test("whole blocks are asked for, as many as the screen shows", () => {
  assert.deepEqual(asked(view({ zoom: 0.5, slow0: -50, fast0: -3 }), 1e6), { slow: [0, 1000], fast: [0, 900], factor: 2, size: [500, 450] });
  assert.deepEqual(asked(view({ zoom: 0.5, ratio: 2, slow0: 1, fast0: 0 }), 1e6), { slow: [1, 1000], fast: [0, 900], factor: 1, size: [999, 900] });
  assert.deepEqual(asked(view({ zoom: 0.34, slow0: 100, fast0: 100 }), 1e6), { slow: [99, 1000], fast: [99, 900], factor: 3, size: [301, 267] });
  assert.deepEqual(asked(view({ zoom: 20, slow0: 10.7, fast0: 20.2 }), 1e6), { slow: [10, 41], fast: [20, 61], factor: 1, size: [31, 41] });
  assert.equal(asked(view({ slow0: 2000 }), 1e6), null);
  const few = asked(view({ zoom: 0.5, slow0: 0, fast0: 0 }), 10_000);
  assert.ok(few !== null && few.size[0] * few.size[1] <= 10_000 && few.factor === 10);
});

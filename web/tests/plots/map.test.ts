import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axisOf, cellAt, cellOf, cornerOf, extentOf, framed, imageOf, neighbour, painted, placeOn, type GridOrder,
} from "../../src/plots/map_math.ts";

/** By walking along the scan. */
function walked({ n_fast, vertical, snake }: GridOrder, lines: number): { row: number; column: number }[] {
  const made: { row: number; column: number }[] = [];
  for (let line = 0; line < lines; line += 1) {
    const places = Array.from({ length: n_fast }, (_, place) => place);
    if (snake && line % 2 === 1) places.reverse();
    for (const place of places) made.push(vertical ? { row: place, column: line } : { row: line, column: place });
  }
  return made;
}

test("images and cells belong together in every order of a scan", () => {
  for (const vertical of [false, true]) {
    for (const snake of [false, true]) {
      const order = { n_fast: 5, vertical, snake };
      for (const [image, cell] of walked(order, 4).entries()) {
        assert.deepEqual(cellOf(order, image), cell);
        assert.equal(imageOf(order, cell), image);
      }
    }
  }
});

test("the cell under a pointer is the one that is drawn there, whichever way the axes run", () => {
  const room = { left: 60, top: 10, width: 400, height: 300 };
  for (const [stepX, stepY] of [[20, 10], [-20, 10], [20, -10], [-20, -10]] as const) {
    for (const up of [false, true]) {
      const x = axisOf([0, stepX, 2 * stepX, 3 * stepX]);
      const y = { ...axisOf([0, stepY, 2 * stepY]), up };
      const frame = framed(x, y, room);
      assert.ok(frame.true);
      assert.ok(Math.abs(frame.width / frame.height - 2) < 1e-9);
      for (let row = 0; row < 3; row += 1) {
        for (let column = 0; column < 4; column += 1) {
          const { left, top } = cornerOf(frame, { row, column });
          assert.deepEqual(cellAt(frame, left + 0.1, top + 0.1), { row, column });
          assert.deepEqual(cellAt(frame, left + frame.width - 0.1, top + frame.height - 0.1), { row, column });
          const middle = placeOn(frame, column * stepX, row * stepY);
          assert.ok(Math.abs(middle.left - left - frame.width / 2) < 1e-6);
          assert.ok(Math.abs(middle.top - top - frame.height / 2) < 1e-6);
        }
      }
      assert.equal(cellAt(frame, room.left - 1, room.top + 1), null);
      assert.equal(cellAt(frame, frame.left + 4 * frame.width + 1, room.top + 1), null);
      const from = { row: 1, column: 1 };
      const right = neighbour(frame, from, 1, 0);
      const below = neighbour(frame, from, 0, 1);
      assert.ok(cornerOf(frame, right).left > cornerOf(frame, from).left);
      assert.ok(cornerOf(frame, below).top > cornerOf(frame, from).top);
      assert.equal(neighbour(frame, { row: 0, column: 0 }, -9, -9).row >= 0, true);
    }
  }
});

test("a scan of one line is stretched, since it would be too thin to be seen", () => {
  const frame = framed(axisOf(Array.from({ length: 500 }, (_, index) => index)), axisOf([0], 1), { left: 0, top: 0, width: 400, height: 300 });
  assert.equal(frame.true, false);
  assert.equal(frame.height, 300);
});

test("colours run from the smallest value to the largest; cells without one are nothing", () => {
  const colors = Uint32Array.from({ length: 256 }, (_, index) => index + 1);
  const z = [[0, 10, null], [5, Number.NaN, 100]];
  const [x, y] = [axisOf([0, 1, 2]), axisOf([0, 1])];
  assert.deepEqual(extentOf(z), [0, 100]);
  assert.deepEqual([...painted(z, x, y, colors, 0, 10)], [1, 256, 0, 129, 0, 256]);
  assert.deepEqual([...painted(z, axisOf([0, -1, -2]), y, colors, 0, 10)], [0, 256, 1, 256, 0, 129]);
  assert.deepEqual([...painted([[1, 10, 100, 0]], axisOf([0, 1, 2, 3]), axisOf([0]), colors, 1, 100, true)], [1, 129, 256, 0]);
  assert.deepEqual([...painted([[3, 3]], axisOf([0, 1]), axisOf([0]), colors, 3, 3)], [1, 1]);
  assert.equal(extentOf([[null]]), null);
});

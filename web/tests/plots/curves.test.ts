import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axesOf, axisKey, barsOf, continued, continueFrom, drawn, imageAt, nearest, placeOf, positive, type PlotAnswer,
} from "../../src/plots/curves.ts";

/** As the service answers: the mean of the images of each bin. */
function answerOf(numbers: number[], bin: number, from = 0): PlotAnswer {
  const groups = new Map<number, number[]>();
  for (const number of numbers.filter((each) => each >= from)) {
    const key = Math.floor(number / bin);
    groups.set(key, [...(groups.get(key) ?? []), number]);
  }
  const mean = (values: number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
  const parts = [...groups.values()];
  return {
    title: "t", unit_x: "", unit_y: "count", bin, images: parts.map((part) => part[0]!),
    series: [{ name: "n", x: parts.map(mean), y: parts.map((part) => mean(part) ** 2) }],
  };
}

test("a curve that is continued is the curve that is asked for at once", () => {
  const numbers = Array.from({ length: 400 }, (_, index) => index).filter((number) => number % 7 !== 3 && (number < 100 || number > 140));
  for (const bin of [1, 3, 10]) {
    let now = answerOf(numbers.slice(0, 5), bin);
    for (let end = 11; end < numbers.length; end += 31) {
      const from = continueFrom(now);
      const whole = continued(now, answerOf(numbers.slice(0, end), bin, from), from);
      assert.ok(whole);
      assert.deepEqual(whole, answerOf(numbers.slice(0, end), bin));
      now = whole;
    }
  }
});

test("answers that do not fit are not put together", () => {
  const before = answerOf([1, 2, 3], 1);
  assert.equal(continued(before, answerOf([3, 4], 2), 3), null);
  const other = answerOf([3, 4], 1);
  other.series[0]!.name = "m";
  assert.equal(continued(before, other, 3), null);
  assert.equal(continueFrom(answerOf([], 4)), 0);
});

test("there are gaps where images are not there, and where values are not known", () => {
  const answer = answerOf([0, 1, 2, 10, 11], 1);
  const points = drawn(answer.series[0]!.x, answer.series[0]!.y, answer.images, 1);
  assert.deepEqual(points, { x: [0, 1, 2, 6, 10, 11], y: [0, 1, 4, null, 100, 121] });
  const binned = answerOf([0, 1, 2, 3, 4, 5, 20], 2);
  assert.deepEqual(drawn(binned.series[0]!.x, binned.series[0]!.y, binned.images, 2).y.filter((each) => each === null).length, 1);
  assert.deepEqual(drawn([0, 1, 2], [1, null, Number.NaN]), { x: [0, 1, 2], y: [1, null, null] });
});

test("points are in the order of x, and none is without x", () => {
  assert.deepEqual(drawn([3, null, 1, 2, Number.NaN], [30, 5, 10, 20, 7]), { x: [1, 2, 3], y: [10, 20, 30] });
});

test("what a logarithmic axis cannot have is counted", () => {
  assert.deepEqual(positive([1, 0, -2, null, 0.5]), [[1, null, null, null, 0.5], 2]);
});

test("a place on the axis is an image, and an image has a place", () => {
  const answer = answerOf([0, 1, 2, 3, 10, 11, 12, 13], 4);
  assert.deepEqual(answer.images, [0, 10, 12]);
  assert.equal(imageAt(answer, "image", 2.2), 2);
  assert.equal(imageAt(answer, "image", 6), 0);
  assert.equal(imageAt(answer, "image", 12.4), 12);
  assert.equal(placeOf(answer, "image", 11), 11);
  const timed: PlotAnswer = { ...answer, series: [{ name: "n", x: [0.1, 0.5, 0.6], y: [1, 2, 3] }] };
  assert.equal(imageAt(timed, "time", 0.45), 10);
  assert.equal(placeOf(timed, "time", 11), 0.5);
  assert.equal(placeOf(timed, "time", 5), null);
  assert.equal(imageAt(answerOf([], 1), "image", 3), null);
  assert.equal(nearest([1, null, 4], 3), 2);
});

test("two units have two axes, and a third one has none", () => {
  assert.deepEqual(axesOf(["count", "", "count", "s"]), ["left", "right", "left", null]);
  assert.notEqual(axisKey("hit_rate", ""), axisKey("n_spots", ""));
  assert.equal(axisKey("n_ice", ""), axisKey("n_spots", ""));
});

test("bars begin at the left edge of their bin, and end with the last that is not empty", () => {
  assert.deepEqual(barsOf([0.5, 1.5, 2.5, 3.5, 4.5], [0, 2, 0, 0, 0]), { x: [0, 1, 2], y: [0, 2, 0] });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { binAt, imagesOf, shares, total, zoomed, type StripAnswer } from "../../src/plots/strip_math.ts";

test("one image of a million is seen, and none is not", () => {
  const strong = shares([0, 1, 500, 1000], 1000);
  assert.equal(strong[0], 0);
  assert.ok(strong[1]! >= 0.4);
  assert.ok(strong[2]! > strong[1]!);
  assert.equal(strong[3], 1);
});

test("totals", () => {
  assert.equal(total([1, 0, 5]), 6);
  assert.equal(total(undefined), 0);
});

test("bins are images, and places are bins", () => {
  const zeros = [0, 0, 0, 0];
  const answer: StripAnswer = {
    series: "a", first: 100, last: 137, per: 10, status: { ok: zeros, hit: zeros, skipped: zeros, failed: zeros, missing: zeros, late: zeros },
  };
  assert.deepEqual(imagesOf(answer, 0), [100, 110]);
  assert.deepEqual(imagesOf(answer, 3), [130, 138]);
  assert.equal(binAt(answer, 0), 0);
  assert.equal(binAt(answer, 0.26), 1);
  assert.equal(binAt(answer, 1), 3);
  assert.equal(binAt(answer, 1.01), null);
});

test("zooming keeps what is under the pointer, and stays inside", () => {
  const [from, to] = zoomed(0, 1000, 250, 0.5, 1000)!;
  assert.equal(to - from, 500);
  assert.ok(Math.abs((250 - from) / (to - from) - 0.25) < 0.01);
  assert.deepEqual(zoomed(0, 1000, 999, 0.1, 1000), [899, 999]);
  assert.equal(zoomed(100, 600, 300, 3, 1000), null);
  const [low, high] = zoomed(10, 20, 15, 0.1, 1000)!;
  assert.ok(high - low >= 8);
});

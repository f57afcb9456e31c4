import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULTS, paramsOf, titleOf } from "../../src/plots/kinds.ts";

test("what a layout stores is taken where it fits", () => {
  assert.deepEqual(paramsOf("plot", {}), DEFAULTS.plot);
  const made = paramsOf("plot", { quantities: ["d_min"], x: 3, bin: "4", regions: ["a"], low: 1.5, high: "x", further: 1 });
  assert.deepEqual(made, { ...DEFAULTS.plot, quantities: ["d_min"], regions: ["a"], low: 1.5 });
  assert.deepEqual(paramsOf("plot", { quantities: null, regions: null, log: null }), DEFAULTS.plot);
  const pinned = { series: "a", number: 3 };
  assert.deepEqual(paramsOf("profile", { pinned }).pinned, pinned);
  assert.equal(paramsOf("profile", { pinned: "a" }).pinned, null);
  assert.equal(paramsOf("map", { best: "best" }).best, null);
});

test("tabs say what is in them", () => {
  assert.equal(titleOf("plot", { quantities: ["a", "b"] }, "Plot"), "a, b");
  assert.equal(titleOf("plot", { quantities: ["a", "b", "c", "d"] }, "Plot"), "a, b, c, …");
  assert.equal(titleOf("plot", { quantities: [] }, "Plot"), "Plot");
  assert.equal(titleOf("map", { quantity: "score" }, "Map"), "Map score");
  assert.equal(titleOf("map", {}, "Map"), `Map ${DEFAULTS.map.quantity}`);
});

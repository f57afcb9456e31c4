import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldOf, fieldsOf, NEW_ALARM, numberOf, ruleOf } from "../../src/desk/alarm_rules.ts";

const WORDS = { name: "name", taken: "taken", roi: "roi", number: "number", whole: "whole", positive: "positive" };
const FIELDS = { ...NEW_ALARM, name: "few", column: "n_spots", limit: "10" };

test("fields make a rule, and a rule its fields", () => {
  const { rule, trouble } = ruleOf({ ...FIELDS, over: "50", hold: "2.5", margin: "1" }, [], WORDS);
  assert.deepEqual(trouble, {});
  assert.deepEqual(rule, { name: "few", column: "n_spots", roi: null, below: 10, above: null, over: 50, hold: 2.5, margin: 1 });
  assert.deepEqual(fieldsOf(rule!), { ...FIELDS, over: "50", hold: "2.5", margin: "1" });
  const above = ruleOf({ ...FIELDS, side: "above", column: "roi_sum", roi: "beam", limit: "1e3" }, [], WORDS).rule;
  assert.deepEqual([above?.above, above?.below, above?.roi, above?.margin], [1000, null, "beam", null]);
});

test("what is wrong is told by its field", () => {
  const trouble = (fields: object, names: string[] = []): object => ruleOf({ ...FIELDS, ...fields }, names, WORDS).trouble;
  assert.deepEqual(trouble({ name: "a b" }), { name: "name" });
  assert.deepEqual(trouble({}, ["few"]), { name: "taken" });
  assert.deepEqual(trouble({ column: "roi_sum" }), { roi: "roi" });
  assert.deepEqual(trouble({ limit: "ten" }), { limit: "number" });
  assert.deepEqual(trouble({ over: "0" }), { over: "whole" });
  assert.deepEqual(trouble({ over: "1.5", hold: "-1", margin: "-2" }), { over: "whole", hold: "positive", margin: "positive" });
});

test("numbers as people type them, and fields of refusals", () => {
  assert.deepEqual(["1,5", " 2 ", "", "x", "1e400"].map(numberOf), [1.5, 2, null, null, null]);
  assert.deepEqual(["alarms.0.column", "alarms.12.below", "alarms", null].map(fieldOf), ["column", "limit", null, null]);
});

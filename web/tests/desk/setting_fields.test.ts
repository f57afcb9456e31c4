import assert from "node:assert/strict";
import { test } from "node:test";
import { changesOf, conflictsOf, kindOfField, valueOf } from "../../src/desk/setting_fields.ts";

test("a schema says how a setting is entered, and what was typed is a value", () => {
  const number = kindOfField({ type: "number" });
  assert.deepEqual(["4.5", "4,5", "", "x"].map((typed) => valueOf(number, typed)), [4.5, 4.5, undefined, undefined]);
  const whole = kindOfField({ type: "integer" });
  assert.deepEqual(["3", "3.5"].map((typed) => valueOf(whole, typed)), [3, undefined]);
  const limit = kindOfField({ anyOf: [{ type: "number" }, { type: "null" }] });
  assert.deepEqual(["1.5", ""].map((typed) => valueOf(limit, typed)), [1.5, null]);
  const clip = kindOfField({ anyOf: [{ type: "string", const: "auto" }, { type: "number" }] });
  assert.deepEqual(["auto", "3", "none"].map((typed) => valueOf(clip, typed)), ["auto", 3, undefined]);
  const file = kindOfField({ anyOf: [{ type: "string", enum: ["file", "none"] }, { type: "number" }] });
  assert.deepEqual(["file", "none", "7"].map((typed) => valueOf(file, typed)), ["file", "none", 7]);
  assert.deepEqual(valueOf(kindOfField({ type: "boolean" }), "true"), true);
  const patch = kindOfField({ type: "integer", enum: [3, 5] });
  assert.deepEqual(["5", "4"].map((typed) => valueOf(patch, typed)), [5, undefined]);
});

test("what is changed, and who else changed it", () => {
  const before = { snr: 5, d_min: null, rings: 100 };
  const now = { snr: 6, d_min: null, rings: 200 };
  const changes = changesOf(before, { snr: 4.5, d_min: null, rings: 100 });
  assert.deepEqual(changes, { snr: 4.5 });
  assert.deepEqual(conflictsOf(before, now, changes), [{ name: "snr", theirs: 6, mine: 4.5 }, { name: "rings", theirs: 200, mine: undefined }]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldOf, shownValue, valueOf } from "../src/form.ts";

const NULL = { type: "null" };
const kindOf = (property: object): string => fieldOf("x", property).kind;

test("each schema becomes its control", () => {
  assert.equal(kindOf({ type: "integer", minimum: 1 }), "number");
  assert.equal(kindOf({ anyOf: [{ const: "auto", type: "string" }, { type: "number" }, NULL] }), "number");
  assert.equal(kindOf({ enum: [3, 5], type: "integer" }), "choice");
  assert.equal(kindOf({ anyOf: [{ type: "boolean" }, NULL], default: null }), "switch");
  assert.equal(kindOf({ anyOf: [{ type: "string", format: "path" }, NULL] }), "path");
  assert.equal(kindOf({ type: "array", items: { type: "string", format: "path" }, kinds: ["mask"] }), "list");
  assert.equal(kindOf({ anyOf: [{ type: "array", prefixItems: [{ type: "number" }, { type: "number" }] }, NULL] }), "text");
  assert.equal(kindOf({ anyOf: [{ type: "string" }, NULL] }), "text");
  assert.equal(kindOf({ anyOf: [{ type: "string" }, NULL], kinds: ["frames"] }), "path");
});

test("words and limits are those of the schema", () => {
  const field = fieldOf("snr", {
    anyOf: [{ const: "auto", type: "string" }, { type: "number", exclusiveMinimum: 0, maximum: 9 }, NULL], default: null, description: "of a pixel",
    group: "Peaks", option: "--snr", advanced: true,
  });
  assert.deepEqual(field.words, ["auto"]);
  assert.deepEqual([field.minimum, field.above, field.maximum, field.below], [0, true, 9, false]);
  assert.deepEqual([field.group, field.option, field.advanced, field.description], ["Peaks", "--snr", true, "of a pixel"]);
  assert.equal(valueOf(field, "auto"), "auto");
  assert.equal(valueOf(field, " 6.5 "), 6.5);
  assert.equal(valueOf(field, "9"), 9);
  for (const wrong of ["0", "-1", "9.1", "six", "1,5"]) assert.throws(() => valueOf(field, wrong), Error, wrong);
});

test("what is left as it is, is not told", () => {
  const number = fieldOf("snr_pick", { type: "number", default: 2.0 });
  assert.equal(valueOf(number, ""), null);
  assert.equal(valueOf(number, "2"), null);
  assert.equal(valueOf(number, "2.5"), 2.5);
  const truth = fieldOf("persistent", { type: "boolean", default: true });
  assert.equal(valueOf(truth, "yes"), null);
  assert.equal(valueOf(truth, "no"), false);
  const either = fieldOf("join", { anyOf: [{ type: "boolean" }, NULL], default: null });
  assert.equal(valueOf(either, ""), null);
  assert.equal(valueOf(either, "no"), false);
  assert.equal(valueOf(either, "yes"), true);
});

test("values of each kind", () => {
  assert.equal(valueOf(fieldOf("patch", { enum: [3, 5], type: "integer", default: 3 }), "5"), 5);
  assert.deepEqual(valueOf(fieldOf("mask", { type: "array", items: { type: "string" }, default: [] }), "a.npy\n\n b c.npy"), ["a.npy", "b c.npy"]);
  assert.equal(valueOf(fieldOf("beam", { anyOf: [{ type: "array" }, NULL] }), "51.5,60"), "51.5,60");
  const length = fieldOf("distance", { anyOf: [{ type: "number", exclusiveMinimum: 0 }, NULL], metavar: "LENGTH" });
  assert.equal(valueOf(length, "351 mm"), "351 mm");
  assert.throws(() => valueOf(fieldOf("cycles", { type: "integer", minimum: 0 }), "1.5"));
  assert.equal(valueOf(fieldOf("cycles", { type: "integer", minimum: 0 }), "0"), 0);
  assert.equal(shownValue([1, [2, null]]), "1,2,");
});

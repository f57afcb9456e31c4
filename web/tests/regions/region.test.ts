import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, changesOf, differences, freeName, inverse, overtaken, type Circle, type Region } from "../../src/regions/region.ts";

const circle = (name: string, radius = 5): Circle => ({ name, type: "circle", center: [10, 20], radius });
const [a, b, c] = ["a", "b", "c"].map((name) => circle(name)) as [Circle, Circle, Circle];

test("changes make one document of another, and their inverse goes back", () => {
  const pairs: [Region[], Region[]][] = [
    [[a, b], [a, b]], [[], [a]], [[a, b, c], [a, c]], [[a, b, c], [a, circle("b", 7), c]], [[a, b, c], [a, circle("d"), c]],
    [[a, b, c], []], [[a], [circle("a", 2), b]],
  ];
  for (const [before, after] of pairs) {
    const changes = changesOf(before, after);
    assert.deepEqual(changed(before, changes), after);
    assert.deepEqual(changed(after, inverse(changes)), before);
  }
});

test("changes put on another document leave the rest of it", () => {
  const mine = changesOf([a, b], [a, circle("b", 9)]);
  const theirs = [circle("a", 1), b, c];
  assert.deepEqual(changed(theirs, mine), [circle("a", 1), circle("b", 9), c]);
  assert.deepEqual(overtaken([a, circle("b", 9)], mine), []);
  assert.deepEqual(overtaken([a, circle("b", 8)], mine), ["b"]);
  assert.deepEqual(overtaken([a], changesOf([a, b], [a])), []);
});

test("a conflict is told by name and field", () => {
  const rows = differences([a, b, c], [circle("a", 7), b, c], [circle("a", 8), circle("c", 3), circle("d")]);
  assert.deepEqual(rows, [
    { name: "a", field: "radius", before: "5", mine: "7", theirs: "8" },
    { name: "b", field: "", before: "circle", mine: "circle", theirs: "not there" },
    { name: "c", field: "radius", before: "5", mine: "5", theirs: "3" },
    { name: "d", field: "", before: "not there", mine: "not there", theirs: "circle" },
  ]);
});

test("a copy gets a name that is free", () => {
  assert.equal(freeName([], "box"), "box-1");
  assert.equal(freeName([circle("box-1"), circle("box-2")], "box-1"), "box-3");
  assert.equal(freeName([], "7"), "7-1");
  assert.ok(freeName([], "x".repeat(64)).length <= 64);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, onlyOf, REACH, totals, unpackColumns } from "../../src/jobs/match.ts";

/** Numbers that look drawn, the same each time. */
function* drawn(seed: number): Generator<number> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

function spots(count: number, size: number, numbers: Generator<number>): { slow: number[]; fast: number[] } {
  const next = (): number => size * (numbers.next().value as number);
  return { slow: Array.from({ length: count }, next), fast: Array.from({ length: count }, next) };
}

/** The same, of all pairs. */
function oracle(a: { slow: number[]; fast: number[] }, b: { slow: number[]; fast: number[] }): string[] {
  const pairs: { far: number; one: number; other: number }[] = [];
  a.slow.forEach((slow, one) => b.slow.forEach((_, other) => {
    const far = Math.sqrt((slow - b.slow[other]!) ** 2 + (a.fast[one]! - b.fast[other]!) ** 2);
    if (far <= 2) pairs.push({ far, one, other });
  }));
  const made: string[] = [];
  while (pairs.length > 0) {
    const best = pairs.reduce((least, each) => (each.far < least.far ? each : least));
    made.push(`${best.one}-${best.other}`);
    pairs.splice(0, pairs.length, ...pairs.filter((each) => each.one !== best.one && each.other !== best.other));
  }
  return made.sort();
}

test("pairs are those of all pairs", () => {
  const numbers = drawn(7);
  for (const size of [6, 20, 100]) {
    const a = spots(60, size, numbers), b = spots(50, size, numbers);
    const { onlyA, onlyB, both } = difference(a, b);
    assert.deepEqual(both.map(([one, other]) => `${one}-${other}`).sort(), oracle(a, b));
    assert.equal(onlyA.length + both.length, 60);
    assert.equal(onlyB.length + both.length, 50);
    assert.deepEqual([...onlyA, ...both.map(([one]) => one)].sort((x, y) => x - y), [...Array(60).keys()]);
  }
});

test("the limit belongs to what matches, and negative places count", () => {
  assert.equal(difference({ slow: [0], fast: [5] }, { slow: [REACH], fast: [5] }).both.length, 1);
  assert.equal(difference({ slow: [0], fast: [5] }, { slow: [REACH + 1e-9], fast: [5] }).both.length, 0);
  assert.equal(difference({ slow: [-0.5], fast: [0] }, { slow: [0.5], fast: [0] }).both.length, 1);
  assert.deepEqual(difference({ slow: [], fast: [] }, { slow: [1], fast: [1] }), { onlyA: [], onlyB: [0], both: [] });
});

test("a spot is in one pair alone, with the nearest", () => {
  const parts = difference({ slow: [10, 11.5], fast: [0, 0] }, { slow: [11], fast: [0] });
  assert.deepEqual(parts, { onlyA: [0], onlyB: [], both: [[1, 0]] });
});

test("totals are sums over images", () => {
  const a = { frame: [0, 0, 3n, 9], slow: [1, 50, 1, 7], fast: [1, 50, 1, 7] };
  const b = { frame: [0, 3, 3, 4], slow: [1.5, 1, 90, 2], fast: [1, 1, 90, 2] };
  assert.deepEqual(totals(a, b), { a: 4, b: 4, onlyA: 2, onlyB: 2, both: 2, images: 4 });
  assert.deepEqual(totals({ frame: [], slow: [], fast: [] }, { frame: [], slow: [], fast: [] }), { a: 0, b: 0, onlyA: 0, onlyB: 0, both: 0, images: 0 });
});

test("columns are taken apart", () => {
  const bytes = new ArrayBuffer(8 + 16);
  new BigInt64Array(bytes, 0, 1)[0] = 5n;
  new Float64Array(bytes, 8, 2).set([1.5, -2]);
  const columns = unpackColumns("frame:<i8:1, slow:<f8:2", bytes);
  assert.equal(Number(columns.frame![0]), 5);
  assert.deepEqual([...columns.slow as Float64Array], [1.5, -2]);
  assert.throws(() => unpackColumns("a:<c8:1", bytes));
});

test("spots of some images", () => {
  const all = { frame: [0, 3n, 3, 9], slow: [1, 2, 3, 4], fast: [5, 6, 7, 8] };
  assert.deepEqual(onlyOf(all, new Set([3, 7])), { frame: [3n, 3], slow: [2, 3], fast: [6, 7] });
});

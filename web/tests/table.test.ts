import assert from "node:assert/strict";
import { test } from "node:test";
import { heightOf, HIGHEST, ROW_HEIGHT, rowsOf, scrollTo, sortedRows, windowOf } from "../src/table.ts";

test("the window has the rows that are seen", () => {
  assert.deepEqual(windowOf(0, 10 * ROW_HEIGHT, 1000), { first: 0, last: 11, offset: 0 });
  assert.deepEqual(windowOf(5.5 * ROW_HEIGHT, 10 * ROW_HEIGHT, 1000), { first: 5, last: 16, offset: 5 * ROW_HEIGHT });
  assert.deepEqual(windowOf(1e9, 10 * ROW_HEIGHT, 12), { first: 2, last: 12, offset: 2 * ROW_HEIGHT });
  assert.deepEqual(windowOf(50, 100, 0), { first: 0, last: 0, offset: 0 });
});

test("every row of a million can be reached, and is on the screen then", () => {
  const count = 1_000_000;
  const seen = 317;
  assert.equal(heightOf(count), HIGHEST);
  for (const row of [0, 1, 2, 13, 14, 15, 499_999, 654_321, 999_983, 999_998, 999_999]) {
    for (const scroll of [0, 4_000_000, HIGHEST - seen]) {
      const at = scrollTo(row, scroll, seen, count);
      assert.ok(at >= 0 && at <= HIGHEST - seen + 1e-6, `${row} ${at}`);
      const { first, offset } = windowOf(at, seen, count);
      const top = offset + (row - first) * ROW_HEIGHT - at;
      assert.ok(top > -1e-3 && top + ROW_HEIGHT < seen + 1e-3, `row ${row} from ${scroll}: at ${top} px`);
    }
  }
  assert.equal(windowOf(HIGHEST - seen, seen, count).last, count);
});

test("a row that is seen does not move", () => {
  assert.equal(scrollTo(7, 100, 220, 1000), 100);
  assert.equal(scrollTo(7, 500, 220, 1000), 7 * ROW_HEIGHT);
});

test("rows are sorted by numbers and by texts, unknown values last, equal ones as they came", () => {
  const rows = rowsOf({ n: [3, null, 1, Number.NaN, 10, 1], name: ["b10", "b9", null, "a", "c", "B9"] });
  assert.equal(rows.length, 6);
  assert.deepEqual([...(sortedRows(rows, { column: "n", descending: false }) ?? [])], [2, 5, 0, 4, 1, 3]);
  assert.deepEqual([...(sortedRows(rows, { column: "n", descending: true }) ?? [])], [4, 0, 2, 5, 1, 3]);
  assert.deepEqual([...(sortedRows(rows, { column: "name", descending: false }) ?? [])].slice(0, 4), [3, 1, 5, 0]);
  assert.equal(sortedRows(rows, null), null);
});

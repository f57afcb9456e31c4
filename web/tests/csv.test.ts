import assert from "node:assert/strict";
import { test } from "node:test";
import { csv } from "../src/csv.ts";
import { short, ticks, withUnit } from "../src/numbers.ts";

test("numbers are told in full, units in the first line", () => {
  const text = csv([
    { name: "image", values: [0, 1, 2] },
    { name: "background", unit: "count", values: new Float64Array([0.1, 1 / 3, Number.NaN]) },
    { name: "hit", values: [true, false, null] },
  ]);
  assert.equal(text, "image,background [count],hit\r\n0,0.1,1\r\n1,0.3333333333333333,0\r\n2,,\r\n");
});

test("texts cannot become formulas or other cells", () => {
  const names = ["=1+2", "+1", "-2", "@SUM(A1)", "\t=1", 'a "b", c', "two\nlines", "plain", "=HYPERLINK(\"x\")"];
  const lines = csv([{ name: "=name", values: names }]);
  assert.equal(
    lines,
    "'=name\r\n'=1+2\r\n'+1\r\n'-2\r\n'@SUM(A1)\r\n'\t=1\r\n" +
      '"a ""b"", c"\r\n"two\nlines"\r\nplain\r\n"\'=HYPERLINK(""x"")"\r\n',
  );
  assert.equal(csv([{ name: "n", values: [-2.5] }]), "n\r\n-2.5\r\n");
});

test("columns may be of different lengths", () => {
  assert.equal(csv([{ name: "a", values: [1] }, { name: "b", values: [1, 2] }]), "a,b\r\n1,1\r\n,2\r\n");
  assert.equal(csv([]), "\r\n");
});

test("numbers in short", () => {
  const cases: [number | null, string][] = [
    [12, "12"], [-3, "-3"], [0.1 + 0.2, "0.3"], [1234.5678, "1234.6"], [1.5e-7, "1.5e-7"], [1.2345678e22, "1.2346e22"],
    [100.00001, "100"], [null, "–"], [Number.NaN, "–"], [123456.7, "1.2346e5"],
  ];
  for (const [value, words] of cases) assert.equal(short(value), words);
  assert.equal(withUnit(1 / 3, "px"), "0.33333 px");
  assert.equal(withUnit(1 / 3, "px", true), "0.3333333333333333 px");
  assert.equal(withUnit(null, "px"), "–");
  assert.equal(withUnit(2.5, "angstrom"), "2.5 Å");
});

test("ticks are round, inside, and about as many as wished", () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(-0.3, 0.3, 4), [-0.2, 0, 0.2]);
  assert.deepEqual(ticks(1, 1, 4), []);
  for (let n = 0; n < 200; n += 1) {
    const low = (Math.random() - 0.5) * 10 ** (n % 9);
    const high = low + Math.random() * 10 ** (n % 7) + 1e-6;
    const made = ticks(low, high, 6);
    assert.ok(made.length >= 2 && made.length <= 8, `${low} ${high}: ${made.join(" ")}`);
    const step = (made[1] ?? 0) - (made[0] ?? 0);
    assert.ok(made.every((each) => each >= low - 1e-6 * step && each <= high + 1e-6 * step));
  }
});

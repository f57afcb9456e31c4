import assert from "node:assert/strict";
import { test } from "node:test";
import { fileName, logCsv, regionsCsv, resultsCsv, spotsCsv } from "../../src/desk/export_data.ts";

test("results with all digits, units, and a column for each number of a row", () => {
  const text = resultsCsv({ frame: [0, 1], background: [0.1 + 0.2, null], shells: [[1, 2], [3, 4]] }, { background: "count" });
  assert.equal(text, "frame,background [count],shells 0,shells 1\r\n0,0.30000000000000004,1,2\r\n1,,3,4\r\n");
});

test("spots and regions", () => {
  assert.equal(spotsCsv({ slow: [1.25], d: [null] }), "slow [px],d [angstrom]\r\n1.25,\r\n");
  assert.equal(regionsCsv({ "=cmd()": { sum: 3, mean: null }, b: { sum: 4, mean: 0.5 } }), "region,sum [count],mean [count]\r\n'=cmd(),3,\r\nb,4,0.5\r\n");
  assert.equal(regionsCsv({}), "region\r\n");
});

test("a note is no formula, and stays one cell", () => {
  const text = logCsv([{ number: 1, name: "note", time: 0, data: { text: '=HYPERLINK("http://evil")\n"x",y', image: 4 } }]);
  assert.equal(text, 'number,time [UTC],kind,series,image,text\r\n1,1970-01-01T00:00:00.000Z,note,,4,"\'=HYPERLINK(""http://evil"")\n""x"",y"\r\n');
});

test("names of files", () => {
  assert.equal(fileName(["7-a/../b", "image", 3], "png"), "7-a_.._b_image_3.png");
  assert.equal(fileName(["../../etc"], "csv"), "etc.csv");
  assert.equal(fileName(["<img src=x>", null], "csv"), "img_src_x_.csv");
  assert.equal(fileName([""], "csv"), "crystint.csv");
  assert.ok(fileName(["x".repeat(1000)], "csv").length < 130);
});

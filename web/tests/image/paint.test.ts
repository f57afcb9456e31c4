import assert from "node:assert/strict";
import { test } from "node:test";
import { colorsOf, COLORS, MASK_COLORS, packed, SATURATED, UNUSABLE } from "../../src/image/colors.ts";
import { contrastOf, histogramOf, levelsOf, niceAbove, paintOf, partOf, stepOf, valueOf, type Paint } from "../../src/image/contrast.ts";
import { paintOverlay, paintValues } from "../../src/image/paint.ts";
import type { Values } from "../../src/image/unpack.ts";
import { Store } from "../../src/store.ts";

const PAINT: Paint = { layer: "counts", color: "indigo", scale: "linear", invert: false, low: 0, high: 100, saturation: null };

/** A slow second way: red, green, blue of a value of the first map. */
function oracle(value: number, unusable: number | null, paint: Paint): number[] {
  if (value === unusable || value !== value) return [190, 190, 194, 255];
  if (paint.saturation !== null && value >= paint.saturation && value !== Infinity) return [255, 0, 200, 255];
  const span = paint.high! - paint.low!;
  let part = (value - paint.low!) / span;
  if (part < 0) part = 0;
  if (part > 1) part = 1;
  if (paint.scale === "sqrt") part = part ** 0.5;
  if (paint.scale === "log") part = Math.log(1 + part * span) / Math.log(1 + span);
  let step = Math.round(part * 255);
  if (paint.invert) step = 255 - step;
  return [[255, 40], [255, 0], [255, 110]].map(([from, to]) => Math.round(from! + ((to! - from!) * step) / 255)).concat(255);
}

test("each pixel has the colour of its value, for all dtypes and scales", () => {
  const numbers = [0, 1, 2, 3, 7, 50, 99, 100, 101, 120, 127];
  const arrays: [Values, number | null][] = [
    [Uint8Array.from([...numbers, 255]), 255], [Int8Array.from([...numbers, -5, -128]), -128],
    [Uint16Array.from([...numbers, 300, 65535]), 65535], [Int16Array.from([...numbers, -7, 300, -32768]), -32768],
    [Uint32Array.from([...numbers, 1e6, 4294967295]), 4294967295], [Int32Array.from([...numbers, -1e6, -3, 1e6, -2147483648]), -2147483648],
    [Float32Array.from([...numbers, -1.5, 33.25, NaN, Infinity, -Infinity]), null], [Float64Array.from([...numbers, 2 ** 64, 44.5]), 2 ** 64],
  ];
  for (const scale of ["linear", "sqrt", "log"] as const) {
    for (const [low, high] of [[0, 100], [2, 99], [-10, 1e5]] as const) {
      for (const invert of [false, true]) {
        for (const saturation of [null, 120]) {
          const paint = { ...PAINT, scale, low, high, invert, saturation };
          for (const [values, unusable] of arrays) {
            const out = new Uint32Array(values.length);
            paintValues(values, unusable, paint, contrastOf(paint, { low: 0, high: 1, min: 0, max: 1 }), out);
            const made = new Uint8Array(out.buffer);
            values.forEach((value, at) => {
              const expected = oracle(value, unusable, paint);
              assert.deepEqual([...made.subarray(4 * at, 4 * at + 4)], expected, `${values.constructor.name} ${value} ${JSON.stringify(paint)}`);
            });
          }
        }
      }
    }
  }
});

test("significance is white at zero, blue below and red above", () => {
  const paint: Paint = { ...PAINT, layer: "significance", low: null, high: null };
  const contrast = contrastOf(paint, { low: 0, high: 30, min: 0, max: 900 });
  assert.deepEqual(contrast, { low: -8, high: 8 });
  const out = new Uint32Array(6);
  paintValues(Float32Array.from([0, 8, -8, 1000, NaN, 4]), null, paint, contrast, out);
  const table = colorsOf("diverging");
  assert.deepEqual([...out], [table[128], table[255], table[0], table[255], UNUSABLE, table[191]]);
  assert.equal(stepOf(1e-9, contrast, "linear", true), 128);
  assert.equal(stepOf(-4, contrast, "sqrt", true), Math.floor(127.5 - 127.5 * Math.sqrt(0.5) + 0.5));
});

test("a mask has colours of its kinds, and lies over an image without hiding it", () => {
  const out = new Uint32Array(6);
  const bits = Uint8Array.from([0, 1, 2, 3, 4, 255]);
  paintValues(bits, 255, { ...PAINT, layer: "mask" }, { low: 0, high: 1 }, out);
  assert.deepEqual([...out], [MASK_COLORS.good, MASK_COLORS.detector, MASK_COLORS.user, MASK_COLORS.user, MASK_COLORS.lost, UNUSABLE]);
  paintOverlay(bits, 255, out);
  assert.deepEqual([...out].map((each) => each >>> 24), [0, 0x8c, 0xb4, 0xb4, 0, 0]);
});

test("maps have 256 colours, and turn round", () => {
  for (const name of COLORS) {
    const table = colorsOf(name);
    assert.equal(table.length, 256);
    assert.deepEqual([...colorsOf(name, true)], [...table].reverse());
    assert.ok(new Set(table).size > 200, name);
  }
  assert.equal(colorsOf("indigo")[255], packed(40, 0, 110));
  assert.equal(colorsOf("gray")[3], packed(3, 3, 3));
  assert.equal(SATURATED, packed(255, 0, 200));
});

test("scales can be undone", () => {
  for (const scale of ["linear", "sqrt", "log"] as const) {
    for (const part of [0, 0.1, 0.5, 1]) {
      const contrast = { low: -3, high: 400 };
      assert.ok(Math.abs(partOf(valueOf(part, contrast, scale), contrast, scale) - part) < 1e-12);
    }
  }
});

test("levels are percentiles of the usable values", () => {
  const values = new Uint16Array(1000).map((_, at) => at);
  values[5] = 65535;
  assert.deepEqual(levelsOf(values, 65535), { low: 4, high: 995, min: 0, max: 999 });
  assert.deepEqual(levelsOf(new Float32Array(4).fill(NaN), null), { low: 0, high: 1, min: 0, max: 1 });
  assert.deepEqual(contrastOf({ ...PAINT, low: null, high: null }, { low: 3, high: 0, min: 0, max: 0 }), { low: 0, high: 1 });
  assert.deepEqual(contrastOf({ ...PAINT, low: null, high: null }, { low: 3, high: 137, min: 0, max: 140 }), { low: 0, high: 150 });
  assert.deepEqual(contrastOf({ ...PAINT, low: null, high: null }, { low: 1, high: 9, min: 0, max: 70000 }), { low: 0, high: 25 });
  assert.deepEqual(contrastOf({ ...PAINT, layer: "background", low: null, high: null }, { low: 1, high: 9, min: 0, max: 70000 }), { low: 0, high: 10 });
});

test("round numbers are not below", () => {
  for (let value = 1e-7; value < 1e9; value *= 1.07) {
    const nice = niceAbove(value);
    assert.ok(nice >= value * (1 - 1e-12) && nice <= value * 1.34, `${value} ${nice}`);
  }
  assert.equal(niceAbove(100), 100);
  assert.equal(niceAbove(0), 0);
});

test("a histogram counts the usable values between its ends", () => {
  const values = Float32Array.from([0, 0.5, 1, 2.5, 4, 4.5, -1, NaN]);
  assert.deepEqual([...histogramOf(values, 0.5, { low: 0, high: 4 }, "linear", 4)], [1, 1, 1, 1]);
  assert.deepEqual([...histogramOf(values, null, { low: 0, high: 4 }, "sqrt", 2)], [2, 3]);
  const whole = [0, 3, 3, 200, 7, 255, 90, 3];
  for (const integers of [Uint8Array.from(whole), Uint16Array.from(whole)]) {
    for (const scale of ["linear", "sqrt", "log"] as const) {
      const range = { low: 1, high: 210 };
      assert.deepEqual(histogramOf(integers, 255, range, scale, 5), histogramOf(Float64Array.from(whole), 255, range, scale, 5));
    }
  }
});

test("layers about zero are linear, whatever the scale of counts is", () => {
  const look = new Store().look.value;
  assert.equal(paintOf(look, null).scale, "sqrt");
  assert.equal(paintOf({ ...look, scale: "log", layer: "background" }, null).scale, "log");
  for (const layer of ["significance", "subtracted"] as const) assert.equal(paintOf({ ...look, layer }, null).scale, "linear");
});

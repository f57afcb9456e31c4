/** Colours of all pixels of a view: the same on every machine. */
import { colorsOf, MASK_COLORS, SATURATED, UNUSABLE } from "./colors.ts";
import { diverges, stepOf, type Contrast, type Paint } from "./contrast.ts";
import type { Values } from "./unpack.ts";

const TABLE = 65536;

/** The colour of a value. */
export function colorOf(unusable: number | null, paint: Paint, contrast: Contrast): (value: number) => number {
  if (paint.layer === "mask") return (value) => (value === unusable ? UNUSABLE : maskColor(value));
  const diverging = diverges(paint.layer), { scale } = paint;
  const saturation = paint.saturation ?? Infinity;
  const table = colorsOf(diverging ? "diverging" : paint.color, paint.invert);
  return (value) => {
    if (value === unusable || Number.isNaN(value)) return UNUSABLE;
    return value >= saturation && value < Infinity ? SATURATED : table[stepOf(value, contrast, scale, diverging)]!;
  };
}

function maskColor(bits: number): number {
  if (bits & 2) return MASK_COLORS.user;
  if (bits & 1) return MASK_COLORS.detector;
  return bits & 4 ? MASK_COLORS.lost : MASK_COLORS.good;
}

/** Colours of `values` into `out`, packed. */
export function paintValues(values: Values, unusable: number | null, paint: Paint, contrast: Contrast, out: Uint32Array): void {
  const color = colorOf(unusable, paint, contrast);
  if (!(values instanceof Float32Array || values instanceof Float64Array)) {
    paintIntegers(values, color, out);
    return;
  }
  for (let at = 0; at < values.length; at += 1) out[at] = color(values[at]!);
}

/** Colours of integers are looked up: from the smallest value on, as many as a table holds. */
function paintIntegers(values: Exclude<Values, Float32Array | Float64Array>, color: (value: number) => number, out: Uint32Array): void {
  let low = Infinity, high = -Infinity;
  const wide = values.BYTES_PER_ELEMENT > 2;
  if (!wide) {
    const bits = 8 * values.BYTES_PER_ELEMENT;
    const signed = values instanceof Int8Array || values instanceof Int16Array;
    low = signed ? -(2 ** (bits - 1)) : 0;
    high = low + 2 ** bits - 1;
  } else {
    // marks lie at the end of the range: what is not in the table is worked out
    for (let at = 0; at < values.length; at += 1) {
      const value = values[at]!;
      if (value < low && value > -TABLE / 2) low = value;
    }
    if (low === Infinity) low = 0;
    high = low + TABLE - 1;
  }
  const table = new Uint32Array(high - low + 1);
  const seen = new Uint8Array(table.length);
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at]!, index = value - low;
    if (index < 0 || index >= table.length) {
      out[at] = color(value);
      continue;
    }
    if (seen[index] === 0) {
      seen[index] = 1;
      table[index] = color(value);
    }
    out[at] = table[index]!;
  }
}

/** Colours of a mask that is laid over an image: what a person masked stands out, the rest of the image is seen. */
export function paintOverlay(bits: Values, unusable: number | null, out: Uint32Array): void {
  for (let at = 0; at < bits.length; at += 1) {
    const value = bits[at]!;
    // where there is no pixel at all there is nothing to be masked
    out[at] = value === unusable ? 0 : value & 2 ? (MASK_COLORS.user & 0xffffff) | 0xb4000000 : value & 1 ? (MASK_COLORS.detector & 0xffffff) | 0x8c000000 : 0;
  }
}

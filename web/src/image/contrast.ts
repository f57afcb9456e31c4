/** From values to steps of a colour map. */
import type { Layer, ViewHead } from "../api_types.ts";
import type { Look } from "../store.ts";
import type { Values } from "./unpack.ts";

export type Scale = "linear" | "sqrt" | "log";

/** Percentiles of the usable values of a view, and their limits. */
export interface Levels {
  low: number;
  high: number;
  min: number;
  max: number;
}

/** How values become colours: all that is needed beside the values themselves. */
export interface Paint {
  layer: Layer;
  color: string;
  scale: Scale;
  invert: boolean;
  /** null = by what is in the view */
  low: number | null;
  high: number | null;
  /** values from it on have a colour of their own; null = none */
  saturation: number | null;
}

/** The numbers of the first and the last colour. */
export interface Contrast {
  low: number;
  high: number;
}

const DIVERGING: readonly Layer[] = ["significance", "subtracted"];
/** sigma at the ends of the automatic scale of significance */
const SIGNIFICANCE = 8;
const ROOM = 2.5;
const SHARE = 0.995;
const SAMPLE = 100_000;

export function diverges(layer: Layer): boolean {
  return DIVERGING.includes(layer);
}

/** Layers about 0 are linear: noise must not look like more than it is. */
export function scaleOf({ layer, scale }: Pick<Look, "layer" | "scale">): Scale {
  return diverges(layer) ? "linear" : scale;
}

export function paintOf(look: Look, saturation: number | null): Paint {
  return {
    layer: look.layer, color: look.color, scale: scaleOf(look), invert: look.invert,
    low: look.automatic ? null : look.low, high: look.automatic ? null : look.high,
    saturation: look.layer === "counts" ? saturation : null,
  };
}

/** A number of few digits that is not below it: so that the colours of a quiet series do not flicker. */
export function niceAbove(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return value;
  const power = 10 ** Math.floor(Math.log10(value) + 1e-12);
  const step = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => each * power >= value * (1 - 1e-12)) ?? 10;
  return step * power;
}

/** What the ends of the colours stand for. */
export function contrastOf(paint: Paint, levels: Levels): Contrast {
  if (diverges(paint.layer)) {
    let most = paint.layer === "significance" ? SIGNIFICANCE : niceAbove(Math.max(Math.abs(levels.low), Math.abs(levels.high), 1));
    if (paint.high !== null) most = Math.max(Math.abs(paint.high), Number.MIN_VALUE);
    return { low: -most, high: most };
  }
  const low = paint.low ?? Math.min(levels.low, 0);
  // between the percentiles lies the background: beyond them there is room for spots, as far as there are any
  const room = levels.low + ROOM * (levels.high - levels.low);
  const most = paint.layer === "background" ? levels.high : Math.min(Math.max(room, levels.high), levels.max);
  const high = paint.high ?? Math.max(niceAbove(most), low + (paint.layer === "background" ? 1e-6 : 1));
  return { low, high: high > low ? high : low + 1e-9 };
}

/** Part 0 to 1 of the way from low to high on a scale. */
export function partOf(value: number, { low, high }: Contrast, scale: Scale): number {
  const at = Math.min(Math.max((value - low) / (high - low), 0), 1);
  if (scale === "sqrt") return Math.sqrt(at);
  if (scale === "log") return Math.log1p(at * (high - low)) / Math.log1p(high - low);
  return at;
}

/** The inverse of `partOf`. */
export function valueOf(part: number, { low, high }: Contrast, scale: Scale): number {
  if (scale === "sqrt") return low + part * part * (high - low);
  if (scale === "log") return low + Math.expm1(part * Math.log1p(high - low));
  return low + part * (high - low);
}

/** The step 0 to 255 of a value; for diverging layers 0 lies in the middle. */
export function stepOf(value: number, contrast: Contrast, scale: Scale, diverging: boolean): number {
  if (!diverging) return Math.floor(255 * partOf(value, contrast, scale) + 0.5);
  const part = partOf(Math.abs(value), { low: 0, high: contrast.high }, scale);
  return Math.floor(127.5 + (value < 0 ? -127.5 : 127.5) * part + 0.5);
}

/** Levels of the usable values of a view, of every n-th where there are many. */
export function levelsOf(values: Values, unusable: number | null): Levels {
  const step = Math.max(Math.floor(values.length / SAMPLE), 1);
  const sample = new Float64Array(Math.ceil(values.length / step));
  let count = 0, min = Infinity, max = -Infinity;
  for (let at = 0; at < values.length; at += step) {
    const value = values[at]!;
    if (value === unusable || !Number.isFinite(value)) continue;
    sample[count++] = value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (count === 0) return { low: 0, high: 1, min: 0, max: 1 };
  const sorted = sample.subarray(0, count).sort();
  const at = (share: number): number => sorted[Math.min(Math.floor(share * count), count - 1)]!;
  return { low: at(1 - SHARE), high: at(SHARE), min, max };
}

/** As the service tells them; of the view itself where it does not. */
export function levelsOfHead(head: ViewHead, values: Values): Levels {
  const told = head.levels;
  if (told === undefined || ![told.low, told.high, told.min, told.max].every((each) => Number.isFinite(each))) return levelsOf(values, head.unusable);
  return told;
}

/** Usable values in bins that are equally wide on the scale between two values. */
export function histogramOf(values: Values, unusable: number | null, range: Contrast, scale: Scale, bins: number): Uint32Array {
  const counts = new Uint32Array(bins);
  const step = Math.max(Math.floor(values.length / SAMPLE), 1);
  const add = (value: number, count: number): void => {
    if (value === unusable || !Number.isFinite(value) || value < range.low || value > range.high) return;
    counts[Math.min(Math.floor(partOf(value, range, scale) * bins), bins - 1)]! += count;
  };
  if (values instanceof Uint8Array || values instanceof Uint16Array) {
    // logarithms of each value, and not of each pixel
    const each = new Uint32Array(2 ** (8 * values.BYTES_PER_ELEMENT));
    for (let at = 0; at < values.length; at += step) each[values[at]!]! += 1;
    for (let value = 0; value < each.length; value += 1) if (each[value]! > 0) add(value, each[value]!);
    return counts;
  }
  for (let at = 0; at < values.length; at += step) add(values[at]!, 1);
  return counts;
}

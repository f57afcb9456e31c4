/** Curves of quantities: pure functions between what the service answers and what is drawn. */
import type { Axis } from "./kinds.ts";

export type Numbers = (number | null)[];

/** as PlotModel of the service */
export interface PlotAnswer {
  title: string;
  unit_x: string;
  unit_y: string;
  bin: number;
  images?: number[] | null;
  series: { name: string; x: Numbers; y: Numbers }[];
  x?: Numbers | null;
  y?: Numbers | null;
  z?: Numbers[] | null;
}

/** points of a curve whose bins were chosen by the service, beyond which larger bins are asked for */
export const MOST_POINTS = 2000;

/** A curve as it is drawn: x ascending, null = a gap. */
export interface Points {
  x: number[];
  y: Numbers;
}

/** From which image on an answer is asked for, to continue one that is there: its last point may have been half. */
export function continueFrom(answer: PlotAnswer): number {
  const last = answer.images?.at(-1);
  return last === undefined ? 0 : Math.floor(last / answer.bin) * answer.bin;
}

/** An answer from image `from` on, put to one that was there; null = they do not fit, and all must be asked for. */
export function continued(before: PlotAnswer, more: PlotAnswer, from: number): PlotAnswer | null {
  const names = (answer: PlotAnswer): string => answer.series.map((curve) => curve.name).join("\n");
  if (before.bin !== more.bin || names(before) !== names(more) || !before.images || !more.images) return null;
  const end = before.images.findIndex((number) => number >= from);
  const keep = end < 0 ? before.images.length : end;
  return {
    ...more,
    images: [...before.images.slice(0, keep), ...more.images],
    series: before.series.map((curve, index) => ({
      name: curve.name,
      x: [...curve.x.slice(0, keep), ...(more.series[index]?.x ?? [])],
      y: [...curve.y.slice(0, keep), ...(more.series[index]?.y ?? [])],
    })),
  };
}

/** Points in the order of x, without those that have none, and with a gap where images between two points are not
 * there. `images` are the first image of each point, `bin` images are in one. */
export function drawn(x: Numbers, y: Numbers, images: readonly number[] | null = null, bin = 1): Points {
  const made: Points = { x: [], y: [] };
  let before: number | null = null;
  let ascending = true;
  for (let index = 0; index < x.length; index += 1) {
    const at = x[index];
    if (at === null || at === undefined || Number.isNaN(at)) continue;
    const last = made.x.at(-1);
    const group = images === null ? null : Math.floor((images[index] ?? 0) / bin);
    if (last !== undefined && group !== null && before !== null && group > before + 1 && at > last) {
      made.x.push((last + at) / 2);
      made.y.push(null);
    }
    if (last !== undefined && at < last) ascending = false;
    const value = y[index];
    made.x.push(at);
    made.y.push(value === undefined || Number.isNaN(value) ? null : value);
    before = group;
  }
  return ascending ? made : sorted(made);
}

function sorted({ x, y }: Points): Points {
  const order = [...x.keys()].sort((a, b) => (x[a] ?? 0) - (x[b] ?? 0) || a - b);
  return { x: order.map((index) => x[index] ?? 0), y: order.map((index) => y[index] ?? null) };
}

/** Values that a logarithmic axis cannot have become gaps; how many these were. */
export function positive(y: Numbers): [Numbers, number] {
  let out = 0;
  const made = y.map((value) => {
    if (value === null || value > 0) return value;
    out += 1;
    return null;
  });
  return [made, out];
}

/** Index of the nearest of ascending numbers; -1 = there is none. */
export function nearest(x: ArrayLike<number | null>, at: number): number {
  let best = -1;
  let distance = Infinity;
  for (let index = 0; index < x.length; index += 1) {
    const value = x[index];
    if (value === null || value === undefined) continue;
    const off = Math.abs(value - at);
    if (off < distance) [best, distance] = [index, off];
  }
  return best;
}

/** The image that a place on the axis is about: with `image` its number, else that of the nearest point. */
export function imageAt(answer: PlotAnswer, axis: Axis, at: number): number | null {
  const images = answer.images ?? [];
  if (images.length === 0) return null;
  const index = nearest(answer.series[0]?.x ?? [], at);
  const first = images[index];
  if (first === undefined) return null;
  if (axis !== "image" || answer.bin === 1) return first;
  const wanted = Math.round(at);
  return Math.floor(wanted / answer.bin) === Math.floor(first / answer.bin) ? Math.max(wanted, first) : first;
}

/** Where an image stands on the axis; null = it is in no point. */
export function placeOf(answer: PlotAnswer, axis: Axis, number: number): number | null {
  if (axis === "image") return number;
  const images = answer.images ?? [];
  const group = Math.floor(number / answer.bin);
  const index = images.findIndex((first) => Math.floor(first / answer.bin) === group);
  return index < 0 ? null : answer.series[0]?.x[index] ?? null;
}

const SHARES = ["hit", "hit_rate", "late"];

/** What has to share an axis: quantities of a unit. Shares from 0 to 1 have no unit, and still are not counts. */
export function axisKey(quantity: string, unit: string): string {
  return unit === "" && SHARES.includes(quantity) ? "share" : unit;
}

/** Which axis each has: the first key the left one, the second the right one; null = there is no third. */
export function axesOf(keys: readonly string[]): ("left" | "right" | null)[] {
  const different = [...new Set(keys)];
  return keys.map((key) => (["left", "right"] as const)[different.indexOf(key)] ?? null);
}

/** Bins by their middles become steps, each from its left edge; the empty ones at the end are left out. */
export function barsOf(middles: Numbers, counts: Numbers): Points {
  const [first, second] = middles;
  const width = (second ?? 1) - (first ?? 0);
  let last = counts.length - 1;
  while (last > 0 && (counts[last] ?? 0) === 0) last -= 1;
  const x = middles.slice(0, last + 2).map((each) => (each ?? 0) - width / 2);
  return { x, y: counts.slice(0, last + 2).map((each) => each ?? 0) };
}

/** Polygons, and bitmaps, which only their files can change. */
import type { Place } from "../store.ts";
import type { Bitmap, Polygon } from "./region.ts";
import { closed, hundredths, NOTHING, odd, place, type Handle, type Shape } from "./shape.ts";

export const LEAST_CORNERS = 3;
export const MOST_CORNERS = 1000;
/** rows of a bitmap that are drawn */
const MOST_ROWS = 20_000;

type Corner = readonly [number, number];

const placesOf = (region: Polygon): Place[] => region.corners.map(([slow, fast]) => place(slow, fast));

function moved(region: Polygon, slow: number, fast: number): Polygon {
  return { ...region, corners: region.corners.map(([s, f]): Corner => [hundredths(s + slow), hundredths(f + fast)]) };
}

/** Without a corner; null when too few would be left. */
export function withoutCorner(region: Polygon, number: number): Polygon | null {
  if (region.corners.length <= LEAST_CORNERS || number >= region.corners.length) return null;
  return { ...region, corners: region.corners.filter((_, n) => n !== number) };
}

/** A polygon of the places that were pressed. */
export function polygonOf(name: string, places: readonly Place[]): Polygon {
  return { name, type: "polygon", corners: places.map(({ slow, fast }): Corner => [hundredths(slow), hundredths(fast)]) };
}

export const polygon: Shape<Polygon> = {
  outline: (region) => ({ lines: [closed(placesOf(region))], areas: [placesOf(region)] }),

  handles(region) {
    const { corners } = region;
    const made: Handle[] = corners.map(([slow, fast], n) => ({ id: `corner ${n}`, at: place(slow, fast), along: null }));
    if (corners.length >= MOST_CORNERS) return made;
    for (const [n, [slow, fast]] of corners.entries()) {
      const [nextSlow, nextFast] = corners[(n + 1) % corners.length] as Corner;
      made.push({ id: `edge ${n}`, at: place(0.5 * (slow + nextSlow), 0.5 * (fast + nextFast)), along: null, adds: true });
    }
    return made;
  },

  dragged(region, handle, from, to) {
    const [slow, fast] = [to.slow - from.slow, to.fast - from.fast];
    const [kind, count] = handle.split(" ");
    const number = Number(count);
    if (kind === "inside") return moved(region, slow, fast);
    const at = polygon.handles(region, null).find((each) => each.id === handle)?.at;
    if (at === undefined) return null;
    const corner: Corner = [hundredths(at.slow + slow), hundredths(at.fast + fast)];
    const corners = [...region.corners];
    corners.splice(kind === "edge" ? number + 1 : number, kind === "edge" ? 0 : 1, corner);
    return { ...region, corners };
  },

  nudged: (region, right, down) => moved(region, down, right),

  holds: (region, at) => odd(region.corners, at),

  made: () => null,
};

export const bitmap: Shape<Bitmap> = {
  outline(region) {
    const areas: Place[][] = [];
    const width = region.shape[1];
    for (const [start, stop] of region.runs) {
      for (let row = Math.floor(start / width); row * width < stop; row += 1) {
        if (areas.length === MOST_ROWS) return { ...NOTHING, areas };
        const first = Math.max(start - row * width, 0), last = Math.min(stop - row * width, width);
        areas.push([place(row, first), place(row, last), place(row + 1, last), place(row + 1, first)]);
      }
    }
    return { lines: [], areas };
  },
  handles: () => [],
  dragged: () => null,
  nudged: () => null,
  holds(region, { slow, fast }) {
    const [rows, columns] = region.shape;
    if (slow < 0 || slow >= rows || fast < 0 || fast >= columns) return false;
    const number = Math.floor(slow) * columns + Math.floor(fast);
    return region.runs.some(([start, stop]) => number >= start && number < stop);
  },
  made: () => null,
};

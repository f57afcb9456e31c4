/** All types of regions as one. Pure. */
import type { Geometry } from "../image/geometry.ts";
import type { Point } from "../image/view.ts";
import type { Place } from "../store.ts";
import { azimuthal } from "./azimuthal.ts";
import { box } from "./box.ts";
import { circle } from "./circle.ts";
import { bitmap, polygon } from "./polygon.ts";
import type { Region } from "./region.ts";
import type { Handle, Outline, Shape } from "./shape.ts";

const SHAPES = { box, circle, azimuthal, polygon, bitmap };

/** The shape of a region's type; it is handed regions of that type alone. */
function shapeOf(region: Region): Shape<Region> {
  return SHAPES[region.type] as unknown as Shape<Region>;
}

export const outline = (region: Region, geometry: Geometry | null): Outline => shapeOf(region).outline(region, geometry);
export const handles = (region: Region, geometry: Geometry | null): readonly Handle[] => shapeOf(region).handles(region, geometry);
export const holds = (region: Region, at: Place, geometry: Geometry | null): boolean => shapeOf(region).holds(region, at, geometry);
export const nudged = (region: Region, right: number, down: number, geometry: Geometry | null): Region | null =>
  shapeOf(region).nudged(region, right, down, geometry);
export const dragged = (region: Region, handle: string, from: Place, to: Place, geometry: Geometry | null): Region | null =>
  shapeOf(region).dragged(region, handle, from, to, geometry);
export const made = (type: Region["type"], name: string, from: Place, to: Place, geometry: Geometry | null): Region | null =>
  (SHAPES[type] as unknown as Shape<Region>).made(name, from, to, geometry);

/** Screen px: how near is on it. */
const ON_HANDLE = 8;
const ON_LINE = 5;

export interface Hit {
  readonly name: string;
  /** of a handle, or "inside" */
  readonly handle: string;
  readonly along: Handle["along"];
  /** neither a handle nor the border was met */
  readonly inside: boolean;
}

/** What `toScreen` makes of a place of the detector; null = it is not on the screen. */
export type ToScreen = (slow: number, fast: number) => Point | null;

/** Distance of a point from the line between two others. */
export function distanceToSegment(point: Point, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy;
  const t = square === 0 ? 0 : Math.min(Math.max(((point.x - a.x) * dx + (point.y - a.y) * dy) / square, 0), 1);
  return Math.hypot(point.x - a.x - t * dx, point.y - a.y - t * dy);
}

function onLine(lines: readonly (readonly Place[])[], point: Point, toScreen: ToScreen): boolean {
  return lines.some((line) => {
    let before: Point | null = null;
    for (const { slow, fast } of line) {
      const now = toScreen(slow, fast);
      if (now !== null && before !== null && distanceToSegment(point, before, now) <= ON_LINE) return true;
      before = now;
    }
    return false;
  });
}

/** Size of what an outline spans, px. */
function span({ lines, areas }: Outline): number {
  let [slow0, slow1, fast0, fast1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { slow, fast } of [...lines, ...areas].flat()) {
    [slow0, slow1, fast0, fast1] = [Math.min(slow0, slow), Math.max(slow1, slow), Math.min(fast0, fast), Math.max(fast1, fast)];
  }
  return Math.max(slow1 - slow0, 0) * Math.max(fast1 - fast0, 0);
}

export interface Drawn {
  readonly region: Region;
  readonly outline: Outline;
  readonly handles: readonly Handle[];
}

/** What a press at `point` takes hold of: a handle of the selected region; else the border of one, the selected first; else
 * the inside of the selected one, or of the smallest. */
export function hitOf(
  all: readonly Drawn[], selected: string | null, point: Point, at: Place | null, toScreen: ToScreen, geometry: Geometry | null,
): Hit | null {
  const own = all.find(({ region }) => region.name === selected);
  const seen = (own?.handles ?? []).flatMap((handle) => {
    const screen = toScreen(handle.at.slow, handle.at.fast);
    return screen === null ? [] : [{ handle, screen, far: Math.hypot(screen.x - point.x, screen.y - point.y) }];
  });
  // of a small region there must be an inside to move it by
  const size = (axis: "x" | "y"): number => Math.max(...seen.map(({ screen }) => screen[axis])) - Math.min(...seen.map(({ screen }) => screen[axis]));
  const reach = seen.length < 2 ? ON_HANDLE : Math.min(ON_HANDLE, Math.max(Math.min(size("x"), size("y")) / 4, 3));
  const best = seen.filter(({ far }) => far <= reach).sort((a, b) => a.far - b.far)[0];
  if (best !== undefined && own !== undefined) return { name: own.region.name, handle: best.handle.id, along: best.handle.along, inside: false };
  const whole = (name: string, inside: boolean): Hit => ({ name, handle: "inside", along: null, inside });
  const others = [...all].reverse().filter((each) => each !== own);
  for (const { region, outline: { lines } } of own === undefined ? others : [own, ...others]) {
    if (onLine(lines, point, toScreen)) return whole(region.name, false);
  }
  if (at === null) return null;
  const holding = all.filter(({ region }) => holds(region, at, geometry));
  if (own !== undefined && holding.includes(own)) return whole(own.region.name, true);
  holding.sort((a, b) => span(a.outline) - span(b.outline));
  return holding[0] === undefined ? null : whole(holding[0].region.name, true);
}

const CURSORS = ["ew-resize", "nwse-resize", "ns-resize", "nesw-resize"] as const;

/** The cursor over something: along which way on the screen it can go. */
export function cursorOf(along: Handle["along"]): string {
  if (along === null || (along[0] === 0 && along[1] === 0)) return "move";
  const turn = Math.round(Math.atan2(along[0], along[1]) / (Math.PI / 4));
  return CURSORS[(turn + 8) % 4] as string;
}

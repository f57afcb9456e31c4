/** What each type of region can do: its outline, its handles, and what becomes of it when one is dragged. Pure. */
import type { Geometry } from "../image/geometry.ts";
import type { Place } from "../store.ts";

/** Where a region is taken hold of. */
export interface Handle {
  /** "inside" is the region as a whole, which has no place of its own */
  readonly id: string;
  readonly at: Place;
  /** the way along which it goes, in px; null = all ways */
  readonly along: readonly [slow: number, fast: number] | null;
  /** another corner is made where it is dragged from */
  readonly adds?: boolean;
}

/** Lines of the border, px of the detector, and closed lines whose inside (even-odd) is the region's. */
export interface Outline {
  readonly lines: readonly (readonly Place[])[];
  readonly areas: readonly (readonly Place[])[];
}

export const NOTHING: Outline = { lines: [], areas: [] };

export interface Shape<R> {
  outline(region: R, geometry: Geometry | null): Outline;
  handles(region: R, geometry: Geometry | null): readonly Handle[];
  /** The region after `handle` went from `from` to `to`; null = it cannot go there. */
  dragged(region: R, handle: string, from: Place, to: Place, geometry: Geometry | null): R | null;
  /** The region moved by steps to the right and downwards, of a pixel each, or what stands for one. */
  nudged(region: R, right: number, down: number, geometry: Geometry | null): R | null;
  /** Whether a place lies in it: of the centre of a pixel, whether the pixel does. */
  holds(region: R, at: Place, geometry: Geometry | null): boolean;
  /** A new one of this type, of a press at `from` that ended at `to`; null = that makes none. */
  made(name: string, from: Place, to: Place, geometry: Geometry | null): R | null;
}

/** px, to hundredths */
export const hundredths = (value: number): number => Math.round(value * 100) / 100;

export const place = (slow: number, fast: number): Place => ({ slow, fast });

/** A closed line of corners. */
export function closed(corners: readonly Place[]): readonly Place[] {
  const first = corners[0];
  return first === undefined ? [] : [...corners, first];
}

/** Whether a place lies in a polygon by the rule of even and odd, as `crystint.model.roi_members` decides it: an edge has its
 * lower end in slow and not its upper one, and what lies on an edge is beyond it. */
export function odd(corners: readonly (readonly [number, number])[], at: Place): boolean {
  let inside = false;
  for (let number = 0; number < corners.length; number += 1) {
    let [slow1, fast1] = corners[number] as readonly [number, number];
    let [slow2, fast2] = corners[(number + 1) % corners.length] as readonly [number, number];
    if (slow1 > at.slow === slow2 > at.slow) continue;
    if (slow1 > slow2) [slow1, fast1, slow2, fast2] = [slow2, fast2, slow1, fast1];
    if ((at.fast - fast1) * (slow2 - slow1) < (at.slow - slow1) * (fast2 - fast1)) inside = !inside;
  }
  return inside;
}

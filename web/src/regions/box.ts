/** Boxes of whole pixels. */
import type { Place } from "../store.ts";
import type { Box } from "./region.ts";
import { closed, place, type Handle, type Shape } from "./shape.ts";

/** Borders in px: the upper ones lie behind the last pixel. */
interface Borders {
  slow: [number, number];
  fast: [number, number];
}

const bordersOf = (box: Box): Borders => ({ slow: [box.slow_min, box.slow_max + 1], fast: [box.fast_min, box.fast_max + 1] });

/** Ends in order, and a pixel at least between them. */
function ordered([a, b]: readonly [number, number]): [number, number] {
  const [low, high] = a <= b ? [a, b] : [b, a];
  return [low, Math.max(high, low + 1)];
}

function boxOf(name: string, { slow, fast }: Borders): Box {
  const [slow0, slow1] = ordered(slow), [fast0, fast1] = ordered(fast);
  return { name, type: "box", slow_min: slow0, slow_max: slow1 - 1, fast_min: fast0, fast_max: fast1 - 1 };
}

function corners(box: Box): Place[] {
  const { slow, fast } = bordersOf(box);
  return [place(slow[0], fast[0]), place(slow[0], fast[1]), place(slow[1], fast[1]), place(slow[1], fast[0])];
}

/** Handles are named by the borders that they move: "low", "high" or "-" along slow and along fast. */
const SIDES = ["low", "-", "high"] as const;
type Side = (typeof SIDES)[number];

export const box: Shape<Box> = {
  outline: (region) => ({ lines: [closed(corners(region))], areas: [corners(region)] }),

  handles(region) {
    const { slow, fast } = bordersOf(region);
    const at = ([low, high]: [number, number], side: Side): number => (side === "low" ? low : side === "high" ? high : 0.5 * (low + high));
    const way = (side: Side): number => SIDES.indexOf(side) - 1;
    const made: Handle[] = [];
    for (const one of SIDES) {
      for (const other of SIDES) {
        if (one === "-" && other === "-") continue;
        made.push({ id: `${one} ${other}`, at: place(at(slow, one), at(fast, other)), along: [way(one), way(other)] });
      }
    }
    return made;
  },

  dragged(region, handle, from, to) {
    const borders = bordersOf(region);
    const [slow, fast] = [Math.round(to.slow - from.slow), Math.round(to.fast - from.fast)];
    if (handle === "inside") {
      return boxOf(region.name, {
        slow: [borders.slow[0] + slow, borders.slow[1] + slow], fast: [borders.fast[0] + fast, borders.fast[1] + fast],
      });
    }
    const [one, other] = handle.split(" ") as [Side, Side];
    const moved = ([low, high]: [number, number], side: Side, by: number): [number, number] => [
      side === "low" ? low + by : low, side === "high" ? high + by : high,
    ];
    return boxOf(region.name, { slow: moved(borders.slow, one, slow), fast: moved(borders.fast, other, fast) });
  },

  nudged: (region, right, down) => box.dragged(region, "inside", place(0, 0), place(down, right), null),

  holds(region, { slow, fast }) {
    const borders = bordersOf(region);
    return slow >= borders.slow[0] && slow < borders.slow[1] && fast >= borders.fast[0] && fast < borders.fast[1];
  },

  /** All pixels that both ends lie in and between. */
  made(name, from, to) {
    const ends = (a: number, b: number): [number, number] => [Math.floor(Math.min(a, b)), Math.floor(Math.max(a, b)) + 1];
    return boxOf(name, { slow: ends(from.slow, to.slow), fast: ends(from.fast, to.fast) });
  },
};

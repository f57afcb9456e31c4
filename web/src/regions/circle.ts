/** Circles of the detector's pixels. */
import type { Place } from "../store.ts";
import type { Circle } from "./region.ts";
import { closed, hundredths, place, type Shape } from "./shape.ts";

/** px: a smaller one might have the centre of no pixel in it */
const LEAST = 0.71;
const POINTS = 180;

const distance = (a: Place, [slow, fast]: readonly [number, number]): number => Math.hypot(a.slow - slow, a.fast - fast);

function circleOf(name: string, slow: number, fast: number, radius: number): Circle {
  return { name, type: "circle", center: [hundredths(slow), hundredths(fast)], radius: Math.max(hundredths(radius), LEAST) };
}

function rim({ center: [slow, fast], radius }: Circle): Place[] {
  return Array.from({ length: POINTS }, (_, n) => {
    const angle = (2 * Math.PI * n) / POINTS;
    return place(slow + radius * Math.sin(angle), fast + radius * Math.cos(angle));
  });
}

export const circle: Shape<Circle> = {
  outline: (region) => ({ lines: [closed(rim(region))], areas: [rim(region)] }),

  handles: ({ center: [slow, fast], radius }) => [
    { id: "center", at: place(slow, fast), along: null },
    ...([[-1, 0], [0, 1], [1, 0], [0, -1]] as const).map((along, n) => ({
      id: `radius ${n}`, at: place(slow + along[0] * radius, fast + along[1] * radius), along,
    })),
  ],

  dragged(region, handle, from, to) {
    const { center: [slow, fast], radius, name } = region;
    if (handle.startsWith("radius")) {
      return circleOf(name, slow, fast, radius + distance(to, region.center) - distance(from, region.center));
    }
    return circleOf(name, slow + to.slow - from.slow, fast + to.fast - from.fast, radius);
  },

  nudged: (region, right, down) => circleOf(region.name, region.center[0] + down, region.center[1] + right, region.radius),

  holds: (region, { slow, fast }) =>
    (slow - region.center[0]) ** 2 + (fast - region.center[1]) ** 2 <= region.radius * region.radius,

  /** Round the place that was pressed. */
  made: (name, from, to) => circleOf(name, from.slow, from.fast, distance(to, [from.slow, from.fast])),
};

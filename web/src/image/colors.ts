/** Colours of values: 256 steps of each map, and the colours that are none of them. */
import { TABLES } from "./color_tables.ts";

/** A colour as it lies in the memory of an image: alpha, blue, green, red from the highest byte on. */
export type Packed = number;

export const COLORS = ["indigo", "viridis", "magma", "cividis", "gray", "heat"] as const;
export type Color = (typeof COLORS)[number];

export function packed(red: number, green: number, blue: number, alpha = 255): Packed {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Of a packed colour, for CSS. */
export function css(color: Packed): string {
  return `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})`;
}

/** Pixels without a measurement, and pixels at or above saturation. */
export const UNUSABLE = packed(190, 190, 194);
export const SATURATED = packed(255, 0, 200);
/** Of the layer "mask", by what is set of its bits: the highest that is set counts. */
export const MASK_COLORS = { good: packed(250, 250, 252), detector: packed(146, 146, 156), user: packed(222, 140, 60), lost: packed(110, 70, 160) };

const made = new Map<string, Uint32Array>();

function ramp(from: readonly number[], to: readonly number[]): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, step) => {
    const [red, green, blue] = from.map((start, index) => Math.round(start + ((to[index]! - start) * step) / 255));
    return packed(red!, green!, blue!);
  });
}

function decoded(text: string): Uint32Array {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  return Uint32Array.from({ length: 256 }, (_, step) => packed(bytes[3 * step]!, bytes[3 * step + 1]!, bytes[3 * step + 2]!));
}

/** The 256 colours of a map; "diverging" is blue, white, red. An unknown name is the first map. */
export function colorsOf(name: string, invert = false): Uint32Array {
  const key = `${name} ${invert}`;
  let table = made.get(key);
  if (table === undefined) {
    if (name === "gray") table = ramp([0, 0, 0], [255, 255, 255]);
    else if (name in TABLES) table = decoded(TABLES[name as keyof typeof TABLES]);
    else table = ramp([255, 255, 255], [40, 0, 110]);
    if (invert) table = table.slice().reverse();
    made.set(key, table);
  }
  return table;
}

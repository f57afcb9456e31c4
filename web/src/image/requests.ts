/** How a view is asked for, by its number and on the live line alike. */
import type { Wish } from "../live.ts";
import type { Look } from "../store.ts";
import type { Head } from "./pictures.ts";
import type { Asked } from "./view.ts";

export function lookQuery(look: Look): Pick<Wish, "layer" | "bin" | "last" | "of" | "frame"> {
  return {
    layer: look.layer, bin: look.bin,
    ...(look.last > 1 ? { last: look.last, of: look.of } : {}),
    ...(look.frame === "laboratory" ? { frame: look.frame } : {}),
  };
}

export function partQuery(part: Asked | null): Pick<Wish, "slow" | "fast" | "size"> {
  if (part === null) return { size: "1000x1000" };
  return { slow: part.slow.join(":"), fast: part.fast.join(":"), size: `${part.size[1]}x${part.size[0]}` };
}

export function headOf(headers: Headers): Head {
  return JSON.parse(headers.get("X-View") ?? "null") as Head;
}


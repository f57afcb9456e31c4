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

/** `most`: blocks, where the part is not known yet. */
export function partQuery(part: Asked | null, most = 1_000_000): Pick<Wish, "slow" | "fast" | "size"> {
  const side = Math.floor(Math.sqrt(most));
  if (part === null) return { size: `${side}x${side}` };
  return { slow: part.slow.join(":"), fast: part.fast.join(":"), size: `${part.size[1]}x${part.size[0]}` };
}

export function headOf(headers: Headers): Head {
  return JSON.parse(headers.get("X-View") ?? "null") as Head;
}


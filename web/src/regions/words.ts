/** What a region is, in a few words and numbers. Pure. */
import { short } from "../numbers.ts";
import type { Region } from "./region.ts";

/** degrees: a sector that a ring becomes when one angle is typed in */
const FIRST_SECTOR = 90;

/** Where it is: the numbers that it is drawn with. */
export function described(region: Region): string {
  switch (region.type) {
    case "box": {
      const [rows, columns] = [region.slow_max - region.slow_min + 1, region.fast_max - region.fast_min + 1];
      return `slow ${region.slow_min}–${region.slow_max}, fast ${region.fast_min}–${region.fast_max} · ${rows} × ${columns} px`;
    }
    case "circle":
      return `slow ${short(region.center[0], 7)}, fast ${short(region.center[1], 7)} · radius ${short(region.radius)} px`;
    case "azimuthal": {
      const limits = region.d_min !== undefined
        ? `d ${short(region.d_min)}–${short(region.d_max)} Å`
        : `q ${short(region.q_min)}–${short(region.q_max)} Å⁻¹`;
      if (region.phi_min_deg === undefined || region.phi_max_deg === undefined) return limits;
      return `${limits} · φ ${short(region.phi_min_deg)}–${short(region.phi_max_deg)}°`;
    }
    case "polygon":
      return `${region.corners.length} corners`;
    case "bitmap":
      return `${region.shape[0]} × ${region.shape[1]} px, ${region.runs.length} runs`;
  }
}

/** A number of a region that can be typed in. */
export interface Field {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly value: string;
}

const plain = (value: number | undefined): string => (value === undefined ? "" : String(value));

export function fieldsOf(region: Region): Field[] {
  const field = (key: string, label: string, unit: string, value: string): Field => ({ key, label, unit, value });
  switch (region.type) {
    case "box":
      return (["slow_min", "slow_max", "fast_min", "fast_max"] as const).map((key) =>
        field(key, key.replace("_min", ", first").replace("_max", ", last"), "px", plain(region[key])));
    case "circle":
      return [
        field("center.0", "centre, slow", "px", plain(region.center[0])), field("center.1", "centre, fast", "px", plain(region.center[1])),
        field("radius", "radius", "px", plain(region.radius)),
      ];
    case "azimuthal": {
      const [name, unit] = region.d_min !== undefined ? ["d", "Å"] as const : ["q", "Å⁻¹"] as const;
      return [
        field(`${name}_min`, `${name} from`, unit, plain(region[`${name}_min`])), field(`${name}_max`, `${name} to`, unit, plain(region[`${name}_max`])),
        field("phi_min_deg", "φ from", "°", plain(region.phi_min_deg)), field("phi_max_deg", "φ to", "°", plain(region.phi_max_deg)),
      ];
    }
    case "polygon":
      return region.corners.flatMap(([slow, fast], n) => [
        field(`corners.${n}.0`, `corner ${n + 1}, slow`, "px", plain(slow)), field(`corners.${n}.1`, `corner ${n + 1}, fast`, "px", plain(fast)),
      ]);
    case "bitmap":
      return [];
  }
}

/** The region with a field as it was typed; null = that is no number. An angle that is empty makes a whole ring: both go,
 * and the first that is typed into a whole ring brings the other one. Which values can be is the service's to say. */
export function withField(region: Region, key: string, typed: string): Region | null {
  const words = typed.trim().replace(",", ".");
  const angle = key === "phi_min_deg" || key === "phi_max_deg";
  if (region.type === "azimuthal" && angle && words === "") {
    const { phi_min_deg: _start, phi_max_deg: _stop, ...ring } = region;
    return ring;
  }
  const value = Number(words);
  if (words === "" || !Number.isFinite(value)) return null;
  if (region.type === "azimuthal" && angle && region.phi_min_deg === undefined) {
    const start = key === "phi_min_deg" ? value : value - FIRST_SECTOR;
    return { ...region, phi_min_deg: start, phi_max_deg: start + FIRST_SECTOR };
  }
  const path = key.split(".");
  const copy = structuredClone(region) as unknown as Record<string, unknown>;
  let at: Record<string, unknown> = copy;
  for (const part of path.slice(0, -1)) at = at[part] as Record<string, unknown>;
  at[path.at(-1) as string] = value;
  return copy as unknown as Region;
}

/** A ring told in the other quantity: 2 pi / its limits. */
export function inOther(region: Region): Region | null {
  if (region.type !== "azimuthal") return null;
  const other = (value: number | undefined): number => Number(((2 * Math.PI) / (value ?? NaN)).toPrecision(7));
  const { q_min, q_max, d_min, d_max, ...rest } = region;
  if (d_min !== undefined) return { ...rest, q_min: other(d_max), q_max: other(d_min) };
  return { ...rest, d_min: other(q_max), d_max: other(Math.max(q_min ?? 0, 1e-9)) };
}

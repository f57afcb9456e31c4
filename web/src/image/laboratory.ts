/** Panels of a detector as they stand: on a plane across the beam, along the rays from the sample. */
import type { Place } from "../store.ts";
import { degrees, type Geometry } from "./geometry.ts";
import type { Mapping } from "./view.ts";

/** The plane, as a view tells it. */
export interface Laboratory {
  shape: readonly [number, number];
  /** m */
  pixel_size: readonly [number, number];
  /** px of the beam on it */
  beam_center: readonly [number, number];
  /** m */
  distance: number;
}

/** From px of the detector to px of the plane, and back. */
export function mappingOf(geometry: Geometry, { pixel_size: size, beam_center: center, distance }: Laboratory): Mapping {
  return {
    beam: { slow: center[0], fast: center[1] },
    toShown(slow, fast): Place | null {
      const place = geometry.laboratory(slow, fast);
      if (place === null || place[2] <= 0) return null;
      const scale = distance / place[2];
      return { slow: center[0] + (place[1] * scale) / size[0], fast: center[1] + (place[0] * scale) / size[1] };
    },
    toDetector(slow, fast): Place | null {
      const y = (slow - center[0]) * size[0], x = (fast - center[1]) * size[1];
      return geometry.place(Math.atan2(Math.hypot(x, y), distance), degrees(Math.atan2(y, x)));
    },
  };
}

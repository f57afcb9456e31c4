/** Documents of regions as files: what `crystint roi --rois` reads. */
import type { Region } from "./region.ts";

/** The regions of a file's text. Throws an Error that says what is wrong; which values can be is the service's to say. */
export function regionsOf(content: string): Region[] {
  let document: unknown;
  try {
    document = JSON.parse(content);
  } catch {
    throw new Error('it is no JSON; expected {"rois": [...]}, as Export writes it');
  }
  const rois = typeof document === "object" && document !== null && !Array.isArray(document) ? (document as { rois?: unknown }).rois : undefined;
  if (!Array.isArray(rois)) throw new Error('it has no list "rois"; expected {"rois": [...]}, as Export writes it');
  for (const [number, region] of rois.entries()) {
    const { name, type } = (region ?? {}) as { name?: unknown; type?: unknown };
    if (typeof name !== "string" || typeof type !== "string") throw new Error(`region ${number} has no name or no type`);
  }
  return rois as Region[];
}

/** The text of a file. */
export function documentOf(regions: readonly Region[]): string {
  return `${JSON.stringify({ rois: regions }, null, 1)}\n`;
}

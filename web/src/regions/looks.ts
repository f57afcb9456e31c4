/** How regions look on the image and in the table. */
import { Signal } from "../signal.ts";
import type { Region, Regions } from "./region.ts";

/** On white, and white on them, 4.5:1 at least: the same in the table and on images of all colours. */
const COLORS = ["#1c6fb5", "#b8500a", "#0f7a5c", "#b03a83", "#806500", "#6b53c4", "#357386", "#5d6470"];

/** Names of regions that are not drawn. */
export const hidden = new Signal<ReadonlySet<string>>(new Set());

export function setHidden(name: string, hide: boolean): void {
  const names = new Set(hidden.value);
  if (hide) names.add(name);
  else names.delete(name);
  hidden.value = names;
}

/** The colour of a region, by its place in the document. */
export function colorOf(regions: Regions, region: Region): string {
  const place = Math.max(regions.findIndex(({ name }) => name === region.name), 0);
  return COLORS[place % COLORS.length] as string;
}

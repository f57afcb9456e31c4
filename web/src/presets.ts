/** Layouts that the page comes with, one for each way to measure. */
import type { Placed, Tree } from "./layouts.ts";
import { text } from "./text.ts";

export interface Preset {
  id: string;
  title: string;
  tree: Tree;
}

const plot = (...quantities: string[]): Placed => ({ kind: "plot", params: { quantities } });
const along = (x: string, ...quantities: string[]): Placed => ({ kind: "plot", params: { quantities, x } });
const map = (quantity: string): Placed => ({ kind: "map", params: { quantity } });
const of = (...kinds: string[]): Placed[] => kinds.map((kind) => ({ kind }));

export const PRESETS: readonly Preset[] = [
  {
    id: "serial",
    title: text.shell.presets.serial,
    tree: {
      row: [
        { size: 5, column: [{ size: 7, tabs: of("image") }, { size: 2, tabs: [...of("strip"), plot("rate_in", "rate_out")] }] },
        {
          size: 4,
          column: [
            { tabs: [plot("hit_rate"), ...of("distributions")] },
            { tabs: [plot("n_spots"), plot("d_min"), plot("background")] },
            { tabs: of("images", "spots", "profile", "histogram") },
          ],
        },
        { size: 3, column: [{ tabs: of("status", "alarms") }, { tabs: of("whatif", "settings", "regions") }, { tabs: of("log", "jobs", "overlays", "files") }] },
      ],
    },
  },
  {
    id: "grid-scan",
    title: text.shell.presets.grid,
    tree: {
      row: [
        { size: 4, column: [{ size: 6, tabs: [map("n_spots"), map("score"), map("d_min"), map("background")] }, { size: 3, tabs: [plot("n_spots"), ...of("strip")] }] },
        { size: 5, column: [{ size: 7, tabs: of("image") }, { size: 3, tabs: of("spots", "images", "profile", "histogram") }] },
        { size: 3, column: [{ tabs: of("status", "alarms") }, { tabs: of("regions", "whatif", "settings") }, { tabs: of("log", "jobs", "overlays", "files") }] },
      ],
    },
  },
  {
    id: "rotation",
    title: text.shell.presets.rotation,
    tree: {
      row: [
        { size: 5, column: [{ size: 7, tabs: of("image") }, { size: 2, tabs: of("strip") }] },
        {
          size: 5,
          column: [
            { tabs: [along("angle", "n_spots")] },
            { tabs: [along("angle", "d_min"), along("angle", "background")] },
            { tabs: of("profile", "histogram", "spots", "images") },
          ],
        },
        { size: 3, column: [{ tabs: of("status", "alarms") }, { tabs: of("whatif", "settings", "regions") }, { tabs: of("jobs", "overlays", "log", "files") }] },
      ],
    },
  },
  {
    id: "alignment",
    title: text.shell.presets.alignment,
    tree: {
      row: [
        { size: 6, tabs: of("image") },
        { size: 4, column: [{ tabs: of("regions", "mask") }, { tabs: [along("time", "roi_sum"), along("time", "roi_mean")] }, { tabs: of("histogram", "profile") }] },
        { size: 3, column: [{ tabs: of("status", "settings") }, { tabs: of("alarms", "log") }] },
      ],
    },
  },
  {
    id: "files",
    title: text.shell.presets.files,
    tree: {
      row: [
        { size: 3, column: [{ tabs: of("files") }, { tabs: of("jobs", "overlays", "log") }] },
        { size: 5, column: [{ size: 7, tabs: of("image") }, { size: 2, tabs: of("strip") }] },
        { size: 4, column: [{ tabs: of("images", "distributions") }, { tabs: [plot("n_spots"), plot("background")] }, { tabs: of("spots", "profile", "histogram", "whatif", "regions") }] },
      ],
    },
  },
];

/** The layout at the first visit. */
export function usualPreset(source: "stream" | "files"): string {
  return source === "files" ? "files" : "serial";
}

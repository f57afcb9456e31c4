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

/** The image, as large as it can be, over the strip; what belongs to the measurement stands beside it. */
const pictured: Tree = { size: 6, column: [{ size: 7, tabs: of("image") }, { size: 2, tabs: [...of("strip"), plot("rate_in", "rate_out")] }] };
const watched = of("status", "log", "alarms", "settings");
const tried = of("whatif", "regions", "spots", "images", "overlays", "jobs", "files");

export const PRESETS: readonly Preset[] = [
  {
    id: "serial",
    title: text.shell.presets.serial,
    tree: {
      row: [
        pictured,
        {
          size: 4,
          column: [
            { tabs: [plot("hit_rate"), plot("n_spots"), plot("d_min"), plot("background")] },
            { tabs: [...watched, ...of("distributions", "profile", "histogram")] },
            { tabs: tried },
          ],
        },
      ],
    },
  },
  {
    id: "grid-scan",
    title: text.shell.presets.grid,
    tree: {
      row: [
        pictured,
        {
          size: 4,
          column: [
            { size: 4, tabs: [map("n_spots"), map("score"), map("d_min"), map("background")] },
            { size: 3, tabs: [...watched, plot("n_spots"), ...of("profile", "histogram")] },
            { size: 3, tabs: tried },
          ],
        },
      ],
    },
  },
  {
    id: "rotation",
    title: text.shell.presets.rotation,
    tree: {
      row: [
        pictured,
        {
          size: 4,
          column: [
            { tabs: [along("angle", "n_spots"), along("angle", "d_min"), along("angle", "background")] },
            { tabs: [...watched, ...of("profile", "histogram")] },
            { tabs: tried },
          ],
        },
      ],
    },
  },
  {
    id: "alignment",
    title: text.shell.presets.alignment,
    tree: {
      row: [
        { size: 6, tabs: of("image") },
        {
          size: 4,
          column: [
            { tabs: of("regions", "mask") },
            { tabs: [along("time", "roi_sum"), along("time", "roi_mean")] },
            { tabs: [...of("histogram", "profile"), ...watched] },
          ],
        },
      ],
    },
  },
  {
    id: "files",
    title: text.shell.presets.files,
    tree: {
      row: [
        { size: 6, column: [{ size: 7, tabs: of("image") }, { size: 3, tabs: of("strip") }] },
        {
          size: 4,
          column: [
            { tabs: of("files", "jobs", "overlays", "log") },
            { tabs: [plot("n_spots"), plot("d_min"), plot("background"), ...of("distributions", "profile", "histogram")] },
            { tabs: of("images", "spots", "whatif", "regions") },
          ],
        },
      ],
    },
  },
];

/** The layout at the first visit. */
export function usualPreset(source: "stream" | "files"): string {
  return source === "files" ? "files" : "serial";
}

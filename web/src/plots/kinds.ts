/** What the panels of plots, maps and tables are told: what layouts and presets store of them.
 *
 * Each is a partial object of its panel: what is left out is as in `DEFAULTS`. */

export type Axis = "image" | "time" | "angle";

/** panel "plot" */
export interface PlotParams {
  /** names as /api/v1/plots has them; `roi_...` are those of regions */
  quantities: string[];
  x: Axis;
  /** images whose mean is a point; 0 = so many that there are 1000 points */
  bin: number;
  /** names of regions for `roi_...`; null = all */
  regions: string[] | null;
  /** logarithmic axis */
  log: boolean;
  /** limits of the left axis; null = by what is there */
  low: number | null;
  high: number | null;
  /** names of curves that are switched off */
  hidden: string[];
}

/** panel "map": a quantity over the positions of a grid scan */
export interface MapParams {
  quantity: string;
  /** of `roi_...`; null = the first one */
  region: string | null;
  /** which values are good; null = as the service takes it for the quantity */
  best: "high" | "low" | null;
  color: string;
  /** limits of the colours; null = by what is there */
  low: number | null;
  high: number | null;
}

/** panel "profile": background over resolution */
export interface ProfileParams {
  x: "q" | "d" | "two_theta";
  log: boolean;
  /** rings of ice */
  ice: boolean;
  /** the spread of a pixel about the background */
  spread: boolean;
  /** another image to compare with */
  pinned: { series: string; number: number } | null;
}

/** panel "histogram": how often each count is there */
export interface HistogramParams {
  /** of the part on the screen alone */
  part: boolean;
  log: boolean;
  bins: number;
}

/** panel "distributions": of all spots of the series */
export interface DistributionsParams {
  which: "d_histogram" | "powder" | "peakogram";
  log: boolean;
  color: string;
}

/** panel "strip": the books, image by image */
export interface StripParams {
  /** numbers of images; null = all */
  from: number | null;
  to: number | null;
}

/** panel "spots": of the image that is shown */
export interface SpotsParams {
  /** null = all */
  columns: string[] | null;
  /** name of a flag that the spots must have; null = any */
  flag: string | null;
}

/** panel "images": the table of results */
export interface ImagesParams {
  /** names of columns; `REGION:COLUMN` are those of regions */
  columns: string[];
  hits: boolean;
  sort: { column: string; descending: boolean } | null;
}

export interface PanelParams {
  plot: PlotParams;
  map: MapParams;
  profile: ProfileParams;
  histogram: HistogramParams;
  distributions: DistributionsParams;
  strip: StripParams;
  spots: SpotsParams;
  images: ImagesParams;
}

export const DEFAULTS: PanelParams = {
  plot: { quantities: ["n_spots"], x: "image", bin: 0, regions: null, log: false, low: null, high: null, hidden: [] },
  map: { quantity: "n_spots", region: null, best: null, color: "viridis", low: null, high: null },
  profile: { x: "q", log: false, ice: true, spread: true, pinned: null },
  histogram: { part: false, log: true, bins: 200 },
  distributions: { which: "d_histogram", log: true, color: "viridis" },
  strip: { from: null, to: null },
  spots: { columns: null, flag: null },
  images: {
    columns: ["frame", "status", "hit", "n_spots", "n_ice", "score", "d_min", "background", "saturated"],
    hits: false, sort: null,
  },
};

/** The parameters of a panel: those of a layout where they are of the right kind, else the usual ones. */
export function paramsOf<K extends keyof PanelParams>(kind: K, stored: Readonly<Record<string, unknown>>): PanelParams[K] {
  const usual = DEFAULTS[kind] as unknown as Record<string, unknown>;
  const made: Record<string, unknown> = structuredClone(usual);
  for (const [name, value] of Object.entries(usual)) {
    const own = stored[name];
    if (own === undefined) continue;
    const fits = value === null || own === null ? own === null || NULLABLE[name]?.(own) === true : sameKind(own, value);
    if (fits && (own !== null || name in NULLABLE)) made[name] = structuredClone(own);
  }
  return made as unknown as PanelParams[K];
}

function sameKind(own: unknown, usual: unknown): boolean {
  if (Array.isArray(usual)) return texts(own);
  return typeof own === typeof usual && !Array.isArray(own);
}

const texts = (own: unknown): boolean => Array.isArray(own) && own.every((each) => typeof each === "string");
const number = (own: unknown): boolean => typeof own === "number" && Number.isFinite(own);
const words = (own: unknown): boolean => typeof own === "string";
const withFields = (...fields: string[]) => (own: unknown): boolean =>
  typeof own === "object" && own !== null && fields.every((field) => field in own);

/** What those parameters are that may be null. */
const NULLABLE: Readonly<Record<string, (own: unknown) => boolean>> = {
  regions: texts, columns: texts, low: number, high: number, from: number, to: number, region: words, flag: words,
  best: (own) => own === "high" || own === "low", pinned: withFields("series", "number"), sort: withFields("column", "descending"),
};

/** What the tab of a panel says, where there may be several of the kind. */
export function titleOf(kind: "plot" | "map" | "distributions", params: Readonly<Record<string, unknown>>, usual: string): string {
  if (kind === "distributions") return usual;
  const names = kind === "plot" ? paramsOf("plot", params).quantities : [paramsOf("map", params).quantity];
  if (names.length === 0) return usual;
  const words = names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");
  return kind === "map" ? `${usual} ${words}` : words;
}

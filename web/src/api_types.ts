/** What the service answers, as docs/openapi.json has it: the parts that the page uses. */

/** Columns by name. Numbers that are not known are null. */
export type Columns = Record<string, (number | null)[]>;

export interface Session {
  role: "view" | "control" | null;
  /** "stream" = a detector is listened to; "files" = finished files alone */
  source: "stream" | "files";
  version: string;
}

export interface Books {
  expected: number | null;
  received: number;
  analysed: number;
  skipped: number;
  failed: number;
  in_flight: number;
  missing: number | null;
  late: number;
  duplicate: number;
  dropped: number | null;
  ended: boolean;
  last: number;
}

export interface SeriesInfo {
  series: string;
  id: number;
  name: string;
  phase: string;
  reason: string;
  started: number | null;
  expected: number | null;
  frame_time: number | null;
  shape: [number, number];
  geometry: Record<string, unknown> | null;
  books: Books;
  missing: [number, number][];
  error: string;
  files: string[];
  /** there are maps of it */
  gridded: boolean;
}

export interface Status {
  state: "idle" | "arming" | "measuring" | "finishing" | "error";
  stalled: boolean;
  reason: string;
  revision: number;
  series: SeriesInfo | null;
  rates: Record<string, Record<string, number | null>>;
  latency: Record<string, number | null>;
  queue: Record<string, unknown>;
  devices: Record<string, unknown>[];
  sinks: Record<string, Record<string, unknown>>;
  rois: { version: number; revision: number };
  mask: { revision: number };
  viewers: number;
  version: string;
}

export type Layer = "counts" | "background" | "significance" | "subtracted" | "mask";
export type Binning = "max" | "mean" | "sum";

/** What is told of a view: X-View, and `view` in the head of a live message. */
export interface ViewHead {
  series: string;
  image: number;
  layer: Layer;
  bin: Binning;
  shape: [number, number];
  dtype: string;
  /** slow0, slow1, fast0, fast1 px, half-open */
  region: [number, number, number, number];
  /** px along each side of a block */
  factor: number;
  /** value of a block without a usable pixel; null = NaN */
  unusable: number | null;
  levels?: { low: number; high: number; min: number; max: number };
  last?: number;
  of?: "sum" | "max" | null;
  frame?: "detector" | "laboratory";
  images?: number[];
}

export interface About {
  series: string;
  image: number;
  shape: [number, number];
  dtype: string;
  saturation: number | null;
  geometry: Record<string, unknown> | null;
  panels: Panel[] | null;
  /** null = nobody looked at it yet */
  row: Record<string, number | null> | null;
  rois: Record<string, Record<string, number | null>>;
  settings_version: number;
  roi_version: number;
  hit: boolean | null;
}

/** Where a panel of the detector lies in the laboratory's picture: (slow', fast') = matrix of (slow, fast, 1). */
export interface Panel {
  slow: [number, number];
  fast: [number, number];
  matrix: [[number, number, number], [number, number, number]];
  /** px: how far off that is at a corner */
  off: number;
}

export interface Applied {
  first_image: number;
  version: number;
  revision: number;
  details: Record<string, unknown> | null;
}

export interface ServiceEvent {
  number: number;
  name: string;
  time: number;
  data: Record<string, unknown>;
}

export interface OpenedFile {
  /** file:PATH */
  series: string;
  kind: string;
  images: number;
  shape: [number, number] | null;
  geometry: Record<string, unknown> | null;
  /** spots that can be shown over its images; those of the first are its own */
  overlays: { name: string; source: string }[];
  /** what was guessed, left out or is not there */
  notes: string[];
}

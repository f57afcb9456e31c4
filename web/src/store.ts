/** What the page shows, as signals that panels follow and set. Nothing here asks the service. */
import type { About, Binning, Columns, Layer, OpenedFile, SeriesInfo, Session, Status } from "./api_types.ts";
import { Signal } from "./signal.ts";

/** An image, by its series and number. */
export interface Shown {
  series: string;
  number: number;
}

/** How the image is made into colours. */
export interface Look {
  layer: Layer;
  bin: Binning;
  /** images that are summed; 1 = one */
  last: number;
  of: "sum" | "max";
  frame: "detector" | "laboratory";
  color: string;
  scale: "linear" | "sqrt" | "log";
  invert: boolean;
  /** contrast from what is in the image; else low and high */
  automatic: boolean;
  low: number;
  high: number;
}

/** What is drawn over the image. */
export interface Overlays {
  spots: boolean;
  mask: boolean;
  saturated: boolean;
  rings: boolean;
  ice: boolean;
  beam: boolean;
  regions: boolean;
  values: boolean;
}

/** The part of the detector that is on the screen: half-open px, fractions allowed, beyond the detector as well. */
export interface Part {
  slow0: number;
  slow1: number;
  fast0: number;
  fast1: number;
}

export interface Place {
  slow: number;
  fast: number;
}

/** Spots that are drawn over the image: those of the run, of a job, of a file, of a trial. */
export interface SpotSet {
  id: string;
  name: string;
  color: string;
  shape: "circle" | "square" | "diamond" | "cross";
  visible: boolean;
  /** of the image that is shown; null = they are being asked for, or there are none for it */
  spots: Columns | null;
}

/** Curves beside those of the run: `fetch` gives x and y of a quantity. */
export interface CurveSource {
  id: string;
  name: string;
  color: string;
  fetch(quantity: string, x: string): Promise<{ name: string; x: (number | null)[]; y: (number | null)[] }[]>;
}

export class Store {
  /** what `color` of theme.ts gives changes with it */
  readonly theme = new Signal<"light" | "dark">("light");
  readonly session = new Signal<Session>({ role: null, source: "stream", version: "" });
  readonly status = new Signal<Status | null>(null);
  /** of the stream, the newest first */
  readonly streamed = new Signal<SeriesInfo[]>([]);
  readonly opened = new Signal<OpenedFile[]>([]);

  /** that is looked at; null = always the newest of the stream */
  readonly series = new Signal<string | null>(null);
  readonly mode = new Signal<"live" | "hold">("live");
  readonly image = new Signal<Shown | null>(null, (a, b) => a?.series === b?.series && a?.number === b?.number);
  /** numbers of the images that can be shown, the oldest first */
  readonly held = new Signal<readonly number[]>([]);
  readonly about = new Signal<About | null>(null);
  /** spots of the run itself on the image that is shown */
  readonly spots = new Signal<Columns | null>(null);
  readonly spotSets = new Signal<readonly SpotSet[]>([]);
  /** which of `spots` is looked at */
  readonly spot = new Signal<number | null>(null);

  readonly look = new Signal<Look>({
    layer: "counts", bin: "max", last: 1, of: "sum", frame: "detector", color: "indigo", scale: "sqrt", invert: false,
    automatic: true, low: 0, high: 10,
  });
  readonly overlays = new Signal<Overlays>({
    spots: true, mask: true, saturated: true, rings: false, ice: false, beam: true, regions: true, values: true,
  });
  /** angstrom: spacings of the rings that are drawn; empty = chosen by what is on the screen */
  readonly rings = new Signal<readonly number[]>([]);
  /** null = the whole detector */
  readonly part = new Signal<Part | null>(null);
  readonly cursor = new Signal<Place | null>(null);

  /** name of the region that is selected */
  readonly region = new Signal<string | null>(null);
  readonly curves = new Signal<readonly CurveSource[]>([]);
}

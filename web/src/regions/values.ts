/** What was measured in the regions: of the image that is shown, and of the images before it. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";
import { followAll, Signal } from "../signal.ts";
import type { Shown } from "../store.ts";
import type { Book } from "./book.ts";

/** Of a region on one image: by column. */
export type Row = Readonly<Record<string, number | null>>;

export interface Measured {
  readonly image: number | null;
  /** of the regions that were summed; null = there is no row of the image */
  readonly version: number | null;
  /** the image was looked at again, since its results are of other regions */
  readonly again: boolean;
  readonly rows: Readonly<Record<string, Row>>;
  /** sums of the images up to this one, the oldest first */
  readonly trends: Readonly<Record<string, readonly (number | null)[]>>;
}

/** As `ROI_COLUMNS` of crystint has them. */
export const COLUMNS: readonly { readonly name: string; readonly title: string; readonly unit: string; readonly meaning: string }[] = [
  { name: "sum", title: "sum", unit: "counts", meaning: "sum of the measurements, exact" },
  { name: "signal", title: "signal", unit: "counts", meaning: "sum less the background of the rings" },
  { name: "snr", title: "S/N", unit: "", meaning: "signal / sigma" },
  { name: "mean", title: "mean", unit: "counts/px", meaning: "sum / pixels that hold a measurement" },
  { name: "max", title: "max", unit: "counts", meaning: "the largest measurement" },
  { name: "spots", title: "spots", unit: "", meaning: "peaks whose centre lies in the region" },
  { name: "background", title: "background", unit: "counts", meaning: "what the background of the rings makes of the sum" },
  { name: "sigma", title: "sigma", unit: "counts", meaning: "standard deviation of the signal" },
  { name: "x", title: "centre, fast", unit: "px", meaning: "fast coordinate of the centre of the counts above zero" },
  { name: "y", title: "centre, slow", unit: "px", meaning: "slow coordinate of the centre of the counts above zero" },
  { name: "npixel", title: "measured", unit: "px", meaning: "pixels that hold a measurement" },
  { name: "masked", title: "masked", unit: "px", meaning: "the other ones" },
  { name: "saturated", title: "saturated", unit: "px", meaning: "measurements above the largest valid value" },
  { name: "sum_sq", title: "sum of squares", unit: "counts²", meaning: "sum of the squared measurements" },
];

const TREND = 60;
/** numbers that one answer may have */
const MOST = 40_000;
const ALL_COLUMNS = 16;
/** ms between two questions */
const PAUSE = 400;

interface Results {
  columns: { frame: number[]; roi_version?: number[] };
  rois: Record<string, Record<string, (number | null)[]>>;
}

/** What is not known is null, as in the results. */
function cleaned(column: string, value: number | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  if ((column === "max" && value < -1e18) || (column === "spots" && value < 0)) return null;
  return value;
}

/** Values of image `number` and sums up to it; no rows when it has none. A region that was not there yet has no pixels. */
export function measuredOf(results: Results, number: number): Measured {
  const at = results.columns.frame.indexOf(number);
  const rows: Record<string, Row> = {};
  const trends: Record<string, (number | null)[]> = {};
  for (const [name, columns] of Object.entries(results.rois)) {
    const there = (n: number): boolean => (columns.pixels?.[n] ?? 0) !== 0;
    trends[name] = results.columns.frame.map((_, n) => (there(n) ? columns.sum?.[n] ?? null : null));
    if (at >= 0 && there(at)) {
      rows[name] = Object.fromEntries(Object.entries(columns).map(([column, values]) => [column, cleaned(column, values[at])]));
    }
  }
  return { image: number, version: at < 0 ? null : results.columns.roi_version?.[at] ?? null, again: false, rows, trends };
}

interface Now {
  roi_version: number;
  rois: Record<string, Record<string, number | null>>;
}

/** With the values of the regions as they are now in place of those of the results. */
export function measuredAgain(measured: Measured, now: Now): Measured {
  const rows = Object.fromEntries(Object.entries(now.rois).map(([name, values]) => [
    name, Object.fromEntries(Object.entries(values).map(([column, value]) => [column, cleaned(column, value)])),
  ]));
  return { ...measured, version: now.roi_version, again: true, rows };
}

/** Asks while somebody looks. */
export class Values {
  readonly measured = new Signal<Measured>({ image: null, version: null, again: false, rows: {}, trends: {} });
  #app: App;
  #book: Book;
  #asking = false;
  #again = false;

  constructor(app: App, book: Book) {
    this.#app = app;
    this.#book = book;
  }

  /** Follow the image that is shown; what comes back ends that. */
  watch(): () => void {
    let ended = false;
    const { image, about, mode } = this.#app.store;
    const stop = followAll([image, about, mode, this.#book.effect, this.#book.details] as never, () => {
      if (!ended) void this.#ask();
    }, true);
    return () => {
      ended = true;
      stop();
    };
  }

  /** Whether no image that comes will have the values that lack: the one that is shown stays, or nothing is measured. */
  #stale(measured: Measured): boolean {
    const { mode, status } = this.#app.store;
    const stays = mode.value === "hold" || status.value?.state !== "measuring";
    return stays && this.#book.regions.value.length > 0 && !this.#book.busy && measured.version !== this.#book.version;
  }

  async #lookAgain(measured: Measured, { series, number }: Shown): Promise<Measured> {
    try {
      return measuredAgain(measured, await this.#app.api.json<Now>(`images/${number}/rois`, { query: { series } }));
    } catch (error) {
      // its pixels are not held any more: what the results have is all there is
      if (error instanceof ApiError && error.status === 404) return measured;
      throw error;
    }
  }

  async #ask(): Promise<void> {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    const image = this.#app.store.image.value;
    if (image === null) return;
    this.#asking = true;
    const count = Math.max(this.#book.regions.value.length, 1);
    const rows = Math.max(Math.min(TREND, Math.floor(MOST / (ALL_COLUMNS * count))), 1);
    const query = {
      series: image.series, from: Math.max(image.number - rows + 1, 0), to: image.number + 1, columns: "frame,roi_version", rois: true,
    };
    try {
      const measured = measuredOf(await this.#app.api.json<Results>("results", { query }), image.number);
      this.measured.value = this.#stale(measured) ? await this.#lookAgain(measured, image) : measured;
    } catch (error) {
      this.#app.fail(error);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    this.#asking = false;
    if (this.#again) {
      this.#again = false;
      void this.#ask();
    }
  }
}

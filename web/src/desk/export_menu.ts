/** The menu "Export": pictures, exact counts, tables, and the address of what is shown. */
import type { App } from "../app.ts";
import { copied, download } from "../dom.ts";
import { imageCanvas } from "../image/canvas.ts";
import { openMenu, type MenuEntry } from "../menu.ts";
import { text } from "../text.ts";
import type { About, Columns } from "../api_types.ts";
import type { EventFeed } from "./events.ts";
import { fileName, logCsv, regionsCsv, resultsCsv, spotsCsv } from "./export_data.ts";

interface Results {
  columns: Record<string, unknown[]>;
  units: Record<string, string>;
  next: number | null;
}

/** columns of an answer of JSON has at most 50 000 numbers: more of them are asked for */
const MOST_PARTS = 5000;
const CSV = "text/csv;charset=utf-8";

export class Exports {
  #app: App;
  #feed: EventFeed;

  constructor(app: App, feed: EventFeed) {
    this.#app = app;
    this.#feed = feed;
  }

  entries(): MenuEntry[] {
    const words = text.desk.exports;
    const image = this.#app.store.image.value;
    const none = image === null;
    const series = image?.series ?? this.#app.store.series.value ?? this.#app.store.status.value?.series?.series ?? null;
    const run = (work: () => Promise<void>) => (): void => void work().catch(this.#app.fail);
    return [
      { section: words.ofImage(image?.number ?? null) },
      { text: words.png, hint: "PNG", disabled: imageCanvas.value === null || none, press: run(() => this.png()) },
      { text: words.tiff, hint: "TIFF", disabled: none, press: run(() => this.tiff()) },
      { text: words.spots, hint: "CSV", disabled: none, press: run(() => this.spots()) },
      { text: words.regions, hint: "CSV", disabled: none, press: run(() => this.regions()) },
      { section: words.ofSeries },
      { text: words.results, hint: "CSV", disabled: series === null, press: run(() => this.results(series)) },
      { section: words.ofPage },
      { text: words.log, hint: "CSV", press: run(() => this.log()) },
      { text: words.link, press: run(() => this.link()) },
    ];
  }

  open(at: HTMLElement): void {
    openMenu(at, this.entries(), text.desk.exports.title);
  }

  #image(): { series: string; number: number; path: string } {
    const image = this.#app.store.image.value;
    if (image === null) throw new Error(text.desk.exports.noImage);
    return { ...image, path: `images/${image.number}` };
  }

  async png(): Promise<void> {
    const canvas = imageCanvas.value;
    const { series, number } = this.#image();
    if (canvas === null) throw new Error(text.desk.exports.noImage);
    download(fileName([series, "image", number], "png"), await canvas.snapshot());
  }

  /** The counts as they came, whatever is shown of them. */
  async tiff(): Promise<void> {
    const { series, number, path } = this.#image();
    const { bytes } = await this.#app.api.bytes(path, { accept: "image/tiff", query: { series } });
    download(fileName([series, "image", number], "tif"), new Blob([bytes], { type: "image/tiff" }));
  }

  async spots(): Promise<void> {
    const { series, number, path } = this.#image();
    const { spots } = await this.#app.api.json<{ spots: Columns }>(`${path}/spots`, { query: { series } });
    this.#csv([series, "image", number, "spots"], spotsCsv(spots));
  }

  async regions(): Promise<void> {
    const { series, number, path } = this.#image();
    const about = await this.#app.api.json<About>(`${path}/about`, { query: { series } });
    if (Object.keys(about.rois).length === 0) throw new Error(text.desk.exports.noRegions);
    this.#csv([series, "image", number, "regions"], regionsCsv(about.rois));
  }

  /** All rows of the series that the service remembers, part by part. */
  async results(series: string | null): Promise<void> {
    const columns: Record<string, unknown[]> = {};
    let units: Record<string, string> = {};
    let from: number | null = 0;
    for (let part = 0; from !== null; part += 1) {
      if (part === MOST_PARTS) throw new Error(text.desk.exports.tooMany);
      const answer: Results = await this.#app.api.json<Results>("results", { query: { series, from } });
      for (const [name, values] of Object.entries(answer.columns)) (columns[name] ??= []).push(...values);
      units = answer.units;
      from = answer.next;
    }
    this.#csv([series, "results"], resultsCsv(columns, units));
  }

  async log(): Promise<void> {
    this.#csv(["log"], logCsv(this.#feed.events.value));
  }

  async link(): Promise<void> {
    if (await copied(location.href)) this.#app.tell(text.desk.exports.linkCopied);
    else this.#app.tell(text.desk.exports.copyYourself, "warning");
  }

  #csv(parts: readonly (string | number | null)[], content: string): void {
    download(fileName(parts, "csv"), new Blob([content], { type: CSV }));
  }
}

/** Spot sets over the image: which there are, how they look, what each has on the image that is shown, two compared. */
import type { Columns } from "../api_types.ts";
import { ApiError, type Query } from "../api.ts";
import type { App } from "../app.ts";
import { Signal, change } from "../signal.ts";
import { spotsThere } from "../spots_there.ts";
import type { CurveSource, SpotSet } from "../store.ts";
import { text } from "../text.ts";
import { difference, onlyOf, placesOf, rowsOf, totals, unpackColumns, type AllSpots, type Difference, type Totals } from "./match.ts";

export type Shape = SpotSet["shape"];
/** Told apart by the colour-blind (Okabe and Ito), on light and dark pictures; the run itself is red circles. */
export const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"] as const;
export const SHAPES: readonly Shape[] = ["square", "diamond", "circle", "cross"];
export const RUN = "run";
export const PARTS = { onlyA: { color: "#0072b2", shape: "square" }, onlyB: { color: "#e69f00", shape: "diamond" }, both: { color: "#009e73", shape: "circle" } } as const;

/** Where spots come from. */
export type Origin =
  | { from: "run" }
  | { from: "trial" }
  | { from: "job"; job: number; peaks: boolean; table: boolean }
  | { from: "file"; series: string; overlay: string };

export interface Overlay {
  id: string;
  name: string;
  origin: Origin;
  color: string;
  shape: Shape;
  visible: boolean;
}

/** What an overlay has on the image that is shown. */
export interface Shown {
  spots: Columns | null;
  /** why there are none */
  trouble: string;
}

export interface Choice {
  a: string;
  b: string;
  /** draw the difference in place of the sets */
  on: boolean;
}

interface Kept {
  overlays: Overlay[];
  choice: Choice;
}

const NAME = "crystint.overlays";
/** images of sets that are asked for one by one */
const MOST_IMAGES = 300;
const NOTHING: Shown = { spots: null, trouble: "" };

export class OverlayDesk {
  readonly overlays = new Signal<readonly Overlay[]>([run()]);
  readonly shown = new Signal<ReadonlyMap<string, Shown>>(new Map());
  readonly choice = new Signal<Choice>({ a: RUN, b: "", on: false });
  readonly totals = new Signal<{ of: string; totals: Totals | null; trouble: string; note: string } | null>(null);
  #app: App;
  #asking: AbortController | null = null;
  #answers = new Map<string, Columns | null>();
  #trial: Columns | null = null;
  #all = new Map<string, Promise<AllSpots>>();
  #tables = new Map<string, Promise<Record<string, (number | null)[]>>>();
  #names = new Map<number, Promise<string[]>>();
  #runWas = true;

  constructor(app: App) {
    this.#app = app;
    this.#restore();
    const { store } = app;
    store.image.follow(() => {
      this.#trial = null;
      this.shown.value = new Map(); // those of the image before are not of this one
      void this.#ask();
    });
    store.spots.follow(() => this.#tellRun());
    // the run's own spots are switched at the image as well
    store.overlays.follow(({ spots }) => {
      if (!this.choice.value.on && this.overlays.value.find((each) => each.id === RUN)?.visible !== spots) this.change(RUN, { visible: spots });
    }, true);
    this.overlays.follow(() => {
      this.#keep();
      this.#publishCurves();
      void this.#ask();
    });
    this.choice.follow((now, before) => {
      this.#keep();
      this.#runOverlay(now, before);
      this.totals.value = null;
      void this.#ask();
    });
    this.shown.follow(() => this.#publish());
    this.#publishCurves();
    void this.#ask();
  }

  has(id: string): boolean {
    return this.overlays.value.some((each) => each.id === id);
  }

  /** Add a set with the next colour and shape, or show the one that is there. */
  add(id: string, name: string, origin: Origin): void {
    if (this.has(id)) {
      this.change(id, { visible: true, name });
      return;
    }
    const others = this.overlays.value.filter((each) => each.id !== RUN);
    const number = firstFree(others.map((each) => COLORS.indexOf(each.color as (typeof COLORS)[number])));
    const color = COLORS[number % COLORS.length]!, shape = SHAPES[number % SHAPES.length]!;
    this.overlays.value = [...this.overlays.value, { id, name, origin, color, shape, visible: true }];
    if (this.choice.value.b === "" && origin.from !== "trial") this.choice.value = { ...this.choice.value, b: id };
  }

  remove(id: string): void {
    this.overlays.value = this.overlays.value.filter((each) => each.id !== id);
    const { a, b } = this.choice.value;
    if (a === id || b === id) this.choice.value = { a: a === id ? RUN : a, b: b === id ? "" : b, on: false };
  }

  change(id: string, fields: Partial<Pick<Overlay, "name" | "color" | "shape" | "visible">>): void {
    this.overlays.value = this.overlays.value.map((each) => (each.id === id ? { ...each, ...fields } : each));
    const { overlays } = this.#app.store;
    const { visible } = fields;
    if (id === RUN && visible !== undefined && !this.choice.value.on && overlays.value.spots !== visible) change(overlays, { spots: visible });
  }

  /** Spots of a trial on the image that is shown; null = there is none now. */
  try(spots: Columns | null): void {
    this.#trial = spots;
    if (spots !== null && !this.has("trial")) this.add("trial", text.jobs.trial, { from: "trial" });
    else void this.#ask();
  }

  /** The two that are compared; null = not both are chosen. */
  pair(): { a: Overlay; b: Overlay } | null {
    const { a, b } = this.choice.value;
    const find = (id: string): Overlay | undefined => this.overlays.value.find((each) => each.id === id);
    const one = find(a), other = find(b);
    return one === undefined || other === undefined || one === other ? null : { a: one, b: other };
  }

  /** Of the image that is shown; null = not both are there. */
  difference(): (Difference & { a: Columns; b: Columns }) | null {
    const pair = this.pair();
    if (pair === null) return null;
    const a = this.shown.value.get(pair.a.id)?.spots, b = this.shown.value.get(pair.b.id)?.spots;
    if (a === null || a === undefined || b === null || b === undefined) return null;
    return { a, b, ...difference(placesOf(a), placesOf(b)) };
  }

  /** Compare all images of two jobs; of other sets those images that can be shown, the newest `MOST_IMAGES`. */
  async compareAll(): Promise<void> {
    const pair = this.pair();
    if (pair === null) return;
    const of = `${pair.a.id} ${pair.b.id}`;
    const tell = (made: Totals | null, trouble: string, note = ""): void => {
      const now = this.pair();
      if (now !== null && `${now.a.id} ${now.b.id}` === of) this.totals.value = { of, totals: made, trouble, note };
    };
    tell(null, "");
    try {
      const jobs = pair.a.origin.from === "job" && pair.b.origin.from === "job";
      const every = this.#app.store.held.value;
      const images = jobs ? null : every.slice(-MOST_IMAGES);
      const a = await this.#allOf(pair.a, images), b = await this.#allOf(pair.b, images);
      tell(totals(a, b), "", images !== null && images.length < every.length ? text.jobs.newest(images.length) : "");
    } catch (error) {
      tell(null, (error as Error).message);
    }
  }

  /** Spots of all images, or of some alone. */
  async #allOf(overlay: Overlay, images: readonly number[] | null): Promise<AllSpots> {
    if (overlay.origin.from === "trial") throw new Error(text.jobs.totalsOfTrial);
    if (overlay.origin.from === "job") {
      const all = await this.#allOfJob(overlay);
      return images === null ? all : onlyOf(all, new Set(images));
    }
    const series = this.#app.store.image.value?.series;
    const frame: number[] = [], slow: number[] = [], fast: number[] = [];
    for (const image of images ?? []) {
      const [path, query] = placeOf(overlay.origin, series ?? "", image);
      const { spots } = await this.#app.api.json<{ spots: Columns }>(path, { query });
      (spots.slow ?? []).forEach((value, at) => {
        frame.push(image);
        slow.push(value ?? 0);
        fast.push(spots.fast?.[at] ?? 0);
      });
    }
    return { frame, slow, fast };
  }

  #allOfJob(overlay: Overlay): Promise<AllSpots> {
    const { origin } = overlay;
    if (origin.from !== "job") throw new Error(text.jobs.totalsOfTrial);
    let asked = this.#all.get(overlay.id);
    if (asked === undefined) {
      asked = this.#app.api.bytes(`jobs/${origin.job}/peaks`, { query: { columns: "slow,fast" } }).then(({ headers, bytes }) => {
        const columns = unpackColumns(headers.get("X-Columns") ?? "", bytes);
        return { frame: columns.frame ?? [], slow: (columns.slow ?? []) as ArrayLike<number>, fast: (columns.fast ?? []) as ArrayLike<number> };
      });
      asked.catch(() => this.#all.delete(overlay.id));
      while (this.#all.size > 1) this.#all.delete(this.#all.keys().next().value!);
      this.#all.set(overlay.id, asked);
    }
    return asked;
  }

  /** Ask for what each set that is looked at has on the image that is shown. */
  async #ask(): Promise<void> {
    this.#asking?.abort();
    const image = this.#app.store.image.value;
    const asking = (this.#asking = new AbortController());
    const made = new Map<string, Shown>();
    const { a, b } = this.choice.value;
    const wanted = this.overlays.value.filter((each) => each.visible || each.id === a || each.id === b);
    await Promise.all(wanted.map(async (overlay) => made.set(overlay.id, image === null ? NOTHING : await this.#spots(overlay, image.series, image.number, asking.signal))));
    if (!asking.signal.aborted) this.shown.value = made;
  }

  async #spots({ id, origin }: Overlay, series: string, image: number, signal: AbortSignal): Promise<Shown> {
    const own = this.#app.store.spots.value;
    // while live they come with the picture: an image that has none yet is not looked at again for that
    if (origin.from === "run" && (own !== null || this.#app.store.mode.value === "live" || !spotsThere(this.#app.store, series))) return { spots: own, trouble: "" };
    if (origin.from === "trial") return { spots: this.#trial, trouble: this.#trial === null ? text.jobs.noTrial : "" };
    if (origin.from === "file" && origin.series !== series) return { spots: null, trouble: text.jobs.otherSeries(origin.series) };
    if (origin.from === "job" && !origin.peaks) return { spots: null, trouble: "" };
    const key = `${id} ${series} ${image}`;
    try {
      let spots = this.#answers.get(key);
      if (spots === undefined) {
        const [path, query] = placeOf(origin, series, image);
        spots = (await this.#app.api.json<{ spots: Columns }>(path, { query, signal })).spots;
        this.#answers.set(key, spots);
        while (this.#answers.size > 64) this.#answers.delete(this.#answers.keys().next().value!);
      }
      return { spots, trouble: "" };
    } catch (error) {
      return { spots: null, trouble: error instanceof ApiError ? error.message : "" };
    }
  }

  #tellRun(): void {
    if (!this.shown.value.has(RUN) || this.#app.store.spots.value === null) return;
    this.shown.value = new Map(this.shown.value).set(RUN, { spots: this.#app.store.spots.value, trouble: "" });
  }

  /** Hand what is to be drawn to the image. The spots of the run are drawn there anyway. */
  #publish(): void {
    const { store } = this.#app;
    const parts = this.choice.value.on ? this.difference() : null;
    if (parts !== null) {
      const pair = this.pair()!;
      const set = (id: keyof typeof PARTS, name: string, spots: Columns): SpotSet => ({ id: `difference-${id}`, name, ...PARTS[id], visible: true, spots });
      store.spotSets.value = [
        set("onlyA", text.jobs.onlyIn(pair.a.name), rowsOf(parts.a, parts.onlyA)),
        set("onlyB", text.jobs.onlyIn(pair.b.name), rowsOf(parts.b, parts.onlyB)),
        set("both", text.jobs.inBoth, rowsOf(parts.a, parts.both.map(([one]) => one))),
      ];
      return;
    }
    store.spotSets.value = this.overlays.value
      .filter((each) => each.id !== RUN)
      .map(({ id, name, color, shape, visible }) => ({ id, name, color, shape, visible, spots: this.shown.value.get(id)?.spots ?? null }));
  }

  /** The run's own symbols would lie over those of a difference. */
  #runOverlay(now: Choice, before: Choice): void {
    const { overlays } = this.#app.store;
    if (now.on && !before.on) {
      this.#runWas = overlays.value.spots;
      change(overlays, { spots: false });
    } else if (!now.on && before.on) change(overlays, { spots: this.#runWas });
  }

  /** Curves of the jobs that are shown, for the plots. */
  #publishCurves(): void {
    const sources = this.overlays.value.flatMap((overlay): CurveSource[] => {
      const { id, name, color, origin, visible } = overlay;
      if (!visible || origin.from !== "job" || !origin.table) return [];
      return [{ id, name, color, fetch: (quantity, x) => this.#curves(origin.job, name, quantity, x) }];
    });
    const same = this.#app.store.curves.value;
    if (same.length === sources.length && sources.every((each, at) => each.id === same[at]!.id && each.color === same[at]!.color && each.name === same[at]!.name)) return;
    this.#app.store.curves.value = sources;
  }

  async #curves(job: number, name: string, quantity: string, x: string): Promise<{ name: string; x: (number | null)[]; y: (number | null)[] }[]> {
    const along = x === "image" ? "frame" : x;
    const key = `${job} ${along} ${quantity}`;
    let asked = this.#tables.get(key);
    if (asked === undefined) {
      const columns = along === "frame" ? quantity : `${along},${quantity}`;
      asked = this.#namesOf(job)
        .then(async (names) => {
          if (!names.includes(quantity) || !names.includes(along)) return {}; // other curves than columns of the table
          return (await this.#app.api.json<{ columns: Columns }>(`jobs/${job}/table`, { query: { columns } })).columns;
        })
        .catch((error: unknown) => {
          this.#tables.delete(key);
          throw error;
        });
      this.#tables.set(key, asked);
    }
    const table = await asked;
    const values = table[quantity], places = table[along];
    return values === undefined || places === undefined ? [] : [{ name, x: places, y: values }];
  }

  /** Columns of the table of a job. */
  #namesOf(job: number): Promise<string[]> {
    let asked = this.#names.get(job);
    if (asked === undefined) {
      asked = this.#app.api.json<{ names: string[] }>(`jobs/${job}/table`, { query: { columns: "frame" } }).then(({ names }) => names);
      asked.catch(() => this.#names.delete(job));
      this.#names.set(job, asked);
    }
    return asked;
  }

  #keep(): void {
    const kept: Kept = { overlays: this.overlays.value.filter((each) => each.origin.from === "job" || each.origin.from === "file"), choice: this.choice.value };
    try {
      localStorage.setItem(NAME, JSON.stringify(kept));
    } catch {
      // a browser that keeps nothing: the overlays are those of this visit
    }
  }

  #restore(): void {
    try {
      const kept = JSON.parse(localStorage.getItem(NAME) ?? "null") as Kept | null;
      if (kept === null) return;
      this.overlays.value = [run(), ...kept.overlays.filter((each) => typeof each.id === "string" && each.id !== RUN)];
      this.choice.value = { ...kept.choice, on: false };
    } catch {
      localStorage.removeItem(NAME);
    }
  }
}

/** Where the spots of an image are asked for. */
function placeOf(origin: Exclude<Origin, { from: "trial" }>, series: string, image: number): [path: string, query: Query] {
  if (origin.from === "job") return [`jobs/${origin.job}/peaks`, { image }];
  return origin.from === "run" ? [`images/${image}/spots`, { series }] : ["files/opened/spots", { series, overlay: origin.overlay, image }];
}

function run(): Overlay {
  return { id: RUN, name: text.jobs.ownSpots, origin: { from: "run" }, color: "#e0311f", shape: "circle", visible: true };
}

/** The first number that is not taken. */
export function firstFree(taken: readonly number[]): number {
  for (let number = 0; ; number += 1) if (!taken.includes(number)) return number;
}

const desks = new WeakMap<App, OverlayDesk>();

/** The one of a page. */
export function overlayDesk(app: App): OverlayDesk {
  let desk = desks.get(app);
  if (desk === undefined) desks.set(app, (desk = new OverlayDesk(app)));
  return desk;
}

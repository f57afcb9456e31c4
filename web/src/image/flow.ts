/** Which image is shown, and how it comes here: from the live line, or asked for by its number. */
import { ApiError, type Query } from "../api.ts";
import type { App } from "../app.ts";
import type { LiveMessage, Wish } from "../live.ts";
import { Signal } from "../signal.ts";
import type { Look } from "../store.ts";
import { text } from "../text.ts";
import type { ImageCanvas } from "./canvas.ts";
import { paintOf, type Paint } from "./contrast.ts";
import { Facts } from "./facts.ts";
import { Frames } from "./frames.ts";
import { Held, HELD_EVERY, stepped } from "./held.ts";
import { LinePace, MOST_BLOCKS, rateOfPage } from "./line_pace.ts";
import { MaskPicture } from "./mask_picture.ts";
import type { Head, Pictures } from "./pictures.ts";
import { headOf, lookQuery, partQuery } from "./requests.ts";
import type { ShownGeometry } from "./rings.ts";
import type { Asked } from "./view.ts";

/** What is to be told of the picture, beside its number. */
export interface FlowState {
  /** the image has left the ring: what is shown is the last of it */
  gone: boolean;
  /** why there is no picture, or no newer one; null = all is well */
  trouble: string | null;
  /** a picture is on its way */
  asking: boolean;
  /** blocks of a live view are larger than the screen needs, by this factor, so that they come often enough */
  coarser: number;
  /** ms of the clock at which the last picture came */
  came: number;
}

/** Blocks of a held image at most: more than those of live ones. */
const MOST_HELD = 2_000_000;
const PAUSE = 80;
const RETRY = 250;
/** ms after which a picture that has not come is told to be the one before */
const SLOW = 300;
const RETRIES = 20;
const MOST_HITS = 4;

/** Whether another view is needed, and not only other colours. */
function otherView(a: Look, b: Look): boolean {
  return JSON.stringify(lookQuery(a)) !== JSON.stringify(lookQuery(b));
}

export class Flow {
  readonly state = new Signal<FlowState>({ gone: false, trouble: null, asking: false, coarser: 1, came: 0 });
  #app: App;
  #pictures: Pictures;
  #frames: Frames;
  #facts: Facts;
  #held: Held;
  #mask: MaskPicture;
  #pace = new LinePace(rateOfPage(performance.getEntriesByType("resource") as PerformanceResourceTiming[]));
  #stops: (() => void)[];
  #own = false;
  #hits = 0;
  #lastHit: Promise<void> = Promise.resolve();
  #loaded = "";
  #loading: { key: string; abort: AbortController; stale: boolean } | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval>;

  constructor(app: App, canvas: ImageCanvas, pictures: Pictures, geometry: ShownGeometry) {
    this.#app = app;
    this.#pictures = pictures;
    this.#held = new Held(app);
    this.#frames = new Frames(app, canvas, geometry);
    this.#facts = new Facts(app, () => {
      const head = pictures.has("sharp")?.head;
      if (head !== undefined) this.#frames.learn(head, false);
    });
    this.#mask = new MaskPicture(app, this.#frames, pictures, () => this.paint);
    const { store } = app;
    this.#stops = [
      app.live.follow((message) => this.#take(message)),
      canvas.view.follow(() => this.#want(PAUSE)),
      store.look.follow((look, before) => {
        this.#repaint();
        if (otherView(look, before)) this.#want(0);
      }),
      store.overlays.follow(() => {
        this.#repaint();
        this.#want(0);
        canvas.redraw();
      }),
      store.about.follow((about, before) => {
        if (about?.saturation !== before?.saturation) this.#repaint();
      }),
      store.mode.follow(() => this.#modeChanged()),
      store.series.follow((key) => void this.#seriesChanged(key)),
      store.image.follow(() => {
        if (this.#own) return;
        store.mode.value = "hold"; // somebody wants to see this one
        this.#want(0);
      }),
    ];
    this.#watch = setInterval(() => void this.#look(), HELD_EVERY);
    if (store.session.value.source === "stream") {
      if (store.mode.value === "live") this.#wish(); // before the line is there, so that the first view is that
      app.live.open();
    } else {
      store.mode.value = "hold";
    }
    if (store.series.value !== null) void this.#seriesChanged(store.series.value);
    this.#want(0);
  }

  get paint(): Paint {
    const { look, about, overlays } = this.#app.store;
    return paintOf(look.value, overlays.value.saturated ? about.value?.saturation ?? null : null);
  }

  // what a person does

  hold(): void {
    this.#app.store.mode.value = "hold";
  }

  live(): void {
    this.#app.store.mode.value = "live";
  }

  toggle(): void {
    if (this.#app.store.mode.value === "live") this.hold();
    else this.live();
  }

  /** An image of the series that is looked at. */
  go(number: number): void {
    const { image, series, mode } = this.#app.store;
    const key = image.value?.series ?? series.value;
    if (key === null) return;
    mode.value = "hold";
    this.#setImage(key, number);
    this.#want(0);
  }

  /** Back or forward by so many of the images that are held; Infinity = to the end. */
  async step(by: number): Promise<void> {
    const { store } = this.#app;
    store.mode.value = "hold";
    const before = store.image.value;
    if (before === null) return;
    try {
      await this.#held.refresh(before.series, HELD_EVERY / 2);
    } catch (error) {
      this.#app.fail(error);
      return;
    }
    const other = stepped(store.held.value, (store.image.value ?? before).number, by);
    if (other === null) this.#app.tell(by > 0 ? text.image.noLater : text.image.noEarlier);
    else this.go(other);
  }

  /** One after the other, and no more than a few: each begins where the last one ended. */
  async hit(direction: "next" | "previous"): Promise<void> {
    if (this.#hits >= MOST_HITS) return;
    this.#hits += 1;
    const before = this.#lastHit;
    this.#lastHit = before.then(() => this.#goToHit(direction)).finally(() => (this.#hits -= 1));
    await this.#lastHit;
  }

  async #goToHit(direction: "next" | "previous"): Promise<void> {
    const { store, api } = this.#app;
    store.mode.value = "hold";
    const now = store.image.value;
    if (now === null) return;
    try {
      const { image, held } = await api.json<{ image: number | null; held: boolean }>(`images/${now.number}/hit`, { query: { direction, series: now.series } });
      if (image === null) this.#app.tell(direction === "next" ? text.image.noNextHit : text.image.noPreviousHit);
      else if (!held) this.#app.tell(text.image.hitGone(image));
      else this.go(image);
    } catch (error) {
      this.#app.fail(error);
    }
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#loading?.abort.abort();
    this.#facts.dispose();
    this.#mask.dispose();
    this.#app.live.wish = { ...this.#app.live.wish, view: false };
  }

  // what follows from it

  #tell(fields: Partial<FlowState>): void {
    const now = this.state.value;
    if ((Object.keys(fields) as (keyof FlowState)[]).some((key) => now[key] !== fields[key])) this.state.value = { ...now, ...fields };
  }

  #setImage(series: string, number: number): void {
    this.#own = true;
    this.#app.store.image.value = { series, number };
    this.#own = false;
  }

  #repaint(): void {
    this.#pictures.repaint(this.paint);
  }

  #modeChanged(): void {
    const { mode, image, series, session } = this.#app.store;
    if (mode.value === "live") {
      if (session.value.source !== "stream") {
        this.#app.tell(text.image.noStream);
        mode.value = "hold";
        return;
      }
      series.value = null; // what is live is the newest
    }
    this.#tell({ gone: false, trouble: null, asking: false });
    this.#loading?.abort.abort();
    this.#loading = null;
    this.#loaded = "";
    if (mode.value === "live") this.#pictures.drop("whole");
    else if (image.value !== null) this.#held.refresh(image.value.series).catch(() => {});
    this.#want(0);
  }

  async #seriesChanged(key: string | null): Promise<void> {
    const { store } = this.#app;
    if (key === null) {
      if (store.session.value.source === "stream") store.mode.value = "live";
      return;
    }
    store.mode.value = "hold";
    if (store.image.value?.series !== key) {
      try {
        await this.#held.refresh(key);
      } catch (error) {
        this.#tell({ trouble: (error as Error).message });
        return;
      }
      if (store.series.value !== key || store.image.value?.series === key) return;
      const number = key.startsWith("file:") ? store.held.value[0] : store.held.value.at(-1);
      if (number === undefined) {
        this.#tell({ trouble: text.image.noneHeld });
        return;
      }
      this.#setImage(key, number);
    }
    this.#want(0);
  }

  /** While images come, held ones leave. */
  async #look(): Promise<void> {
    const { mode, image, status } = this.#app.store;
    const now = image.value;
    if (document.hidden || now === null || status.value?.series?.series !== now.series) return;
    if (mode.value === "hold" && this.state.value.gone) return;
    try {
      await this.#held.refresh(now.series, HELD_EVERY / 2);
    } catch {
      return; // the line is down, which is told elsewhere
    }
    if (mode.value === "hold" && image.value === now && this.#isShown(now.series, now.number) && this.#held.left(now)) this.#tell({ gone: true });
  }

  #isShown(series: string, number: number): boolean {
    const head = this.#pictures.has("sharp")?.head;
    return head?.series === series && head.image === number;
  }

  /** Whether the picture is already of these blocks of what is to be seen. */
  #shows(part: Asked | null): boolean {
    const head = this.#pictures.has("sharp")?.head, look = this.#app.store.look.value;
    if (head === undefined || part === null || head.factor !== part.factor || this.state.value.came === 0) return false;
    const same = head.layer === look.layer && head.bin === look.bin && (head.last ?? 1) === look.last && (look.last === 1 || head.of === look.of);
    const frame = head.frame === look.frame || (look.frame === "laboratory" && this.#app.store.about.value?.panels === null);
    return same && frame && [...part.slow, ...part.fast].every((end, at) => end === head.region[at]);
  }

  /** See to it that what should be shown comes, after a pause in which that may change again. */
  #want(pause: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#app.store.mode.value === "live") {
        this.#wish();
      } else {
        if (this.#app.live.wish.view !== false) this.#app.live.wish = { ...this.#app.live.wish, view: false };
        void this.#load();
      }
      this.#mask.want();
    }, pause);
  }

  #wish(): void {
    const { store, live } = this.#app;
    const { slow: _slow, fast: _fast, size: _size, last: _last, of: _of, frame: _frame, spots: _spots, ...others } = live.wish;
    const series = store.image.value?.series ?? null, { most } = this.#pace;
    let part = this.#frames.part(series, most);
    const finest = this.#frames.part(series, MOST_BLOCKS);
    this.#tell({ coarser: part === null || finest === null ? 1 : part.factor / finest.factor });
    // the first view is asked for without a region: if that is what is to be seen, no other one is needed
    if (live.wish.view === true && live.wish.slow === undefined && this.#shows(part)) part = null;
    const wish: Wish = { ...others, view: true, ...lookQuery(store.look.value), ...partQuery(part, most), columns: [], ...(store.overlays.value.spots ? { spots: true } : {}) };
    if (sorted(wish) !== sorted(live.wish)) live.wish = wish;
  }

  async #take({ head, packed, line }: LiveMessage): Promise<void> {
    const { store } = this.#app;
    if (store.mode.value !== "live") return;
    if (head.error !== undefined && head.error !== "") {
      this.#tell({ trouble: head.error });
      if (this.#app.live.wish.slow !== undefined) {
        this.#frames.forget(); // the part that is looked at may be beyond a smaller detector
        this.#want(0);
      }
    }
    const view = head.view as Head | null | undefined;
    if (view === null || view === undefined || packed.length === 0) return;
    const bytes = packed.length; // the worker has them then
    const whole = this.#app.live.wish.slow === undefined;
    try {
      await this.#pictures.show("sharp", packed as Uint8Array<ArrayBuffer>, view, this.paint);
    } catch (error) {
      this.#tell({ trouble: text.image.damaged((error as Error).message) });
      return;
    }
    if (store.mode.value !== "live") {
      this.#want(0); // what was held in the meantime is another one
      return;
    }
    this.#setImage(view.series, view.image);
    this.#facts.live(view.series, view.image, head.row, head.spots);
    this.#frames.learn(view, whole);
    this.#tell({ trouble: null, gone: false, came: Date.now() });
    this.#mask.tick();
    await drawn();
    if (this.#pace.took({ bytes, blocks: view.shape[0] * view.shape[1], factor: view.factor, line })) this.#want(0);
  }

  async #load(): Promise<void> {
    const { store } = this.#app;
    const image = store.image.value;
    if (image === null) return;
    const { series, number } = image;
    if (this.#isShown(series, number) && this.#held.left(image)) {
      this.#tell({ gone: true, asking: false });
      return;
    }
    const part = this.#frames.part(series, MOST_HELD);
    const query: Query = { series, ...lookQuery(store.look.value), ...partQuery(part) };
    const key = JSON.stringify([number, query]);
    if (this.#loading !== null) {
      // the service goes on with what it was asked for: another question beside it would only make it busy
      this.#loading.stale = key !== this.#loading.key;
      return;
    }
    if (key === this.#loaded || (this.#isShown(series, number) && this.#shows(part))) {
      this.#loaded = key;
      this.#facts.held(series, number);
      return;
    }
    const loading = { key, abort: new AbortController(), stale: false };
    this.#loading = loading;
    setTimeout(() => {
      if (this.#loading === loading) this.#tell({ asking: true });
    }, SLOW);
    try {
      const { headers, bytes } = await this.#patiently(`images/${number}/view`, query, loading.abort.signal, () => loading.stale);
      if (this.#loading !== loading) return;
      if (loading.stale) {
        this.#loading = null;
        this.#want(0);
        return;
      }
      const head = headOf(headers);
      await this.#pictures.show("sharp", new Uint8Array(bytes), head, this.paint);
      if (this.#loading !== loading) return;
      this.#loading = null;
      if (loading.stale) this.#want(0);
      this.#loaded = key;
      this.#tell({ asking: false, trouble: null, gone: false, came: Date.now() });
      this.#facts.held(series, number);
      this.#frames.learn(head, part === null);
      void this.#loadWhole(query, head);
    } catch (error) {
      if (this.#loading !== loading) return;
      this.#loading = null;
      if (loading.stale) this.#want(0);
      else this.#failed(error, series, number);
    }
  }

  /** All of the image, coarsely, for under the sharp part: it is there at once when that is moved. */
  async #loadWhole(query: Query, { image, layer, series, region }: Head): Promise<void> {
    const shape = this.#frames.shape(series), under = this.#pictures.has("whole")?.head;
    const all = shape !== null && region[0] === 0 && region[2] === 0 && region[1] === shape[0] && region[3] === shape[1];
    if (all || shape === null || (under?.image === image && under.layer === layer)) return;
    const { slow: _slow, fast: _fast, ...rest } = query;
    try {
      const { headers, bytes } = await this.#patiently(`images/${image}/view`, { ...rest, size: "600x600" });
      const sharp = this.#pictures.has("sharp")?.head;
      if (sharp?.image !== image || sharp.series !== series || sharp.layer !== layer || this.#app.store.mode.value === "live") return;
      await this.#pictures.show("whole", new Uint8Array(bytes), headOf(headers), this.paint);
    } catch {
      // it is only for under the other; what is wrong is told with that
    }
  }

  /** Ask, and again while the service has too much to do. */
  async #patiently(path: string, query: Query, signal?: AbortSignal, stale: () => boolean = () => false): Promise<{ headers: Headers; bytes: ArrayBuffer }> {
    for (let turn = 0; ; turn += 1) {
      try {
        return await this.#app.api.bytes(path, { query, signal });
      } catch (error) {
        if (!(error instanceof ApiError) || error.reason !== "busy" || turn >= RETRIES || stale()) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY));
        signal?.throwIfAborted();
      }
    }
  }

  #failed(error: unknown, series: string, number: number): void {
    this.#tell({ asking: false });
    if (error instanceof DOMException && error.name === "AbortError") return;
    if (error instanceof ApiError && error.reason === "not_found" && this.#isShown(series, number)) {
      this.#tell({ gone: true });
      return;
    }
    this.#tell({ trouble: (error as Error).message });
    this.#app.fail(error);
    // never a number beside a picture that is not its
    const shown = this.#pictures.has("sharp")?.head;
    if (shown !== undefined && !this.#isShown(series, number)) this.#setImage(shown.series, shown.image);
  }
}

function sorted(wish: Wish): string {
  return JSON.stringify(Object.entries(wish).sort());
}

/** The next frame of the screen; a page that is not seen has none, and does not wait for one. */
function drawn(): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

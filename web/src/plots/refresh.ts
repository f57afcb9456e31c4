/** When a panel asks the service again: as results come, at most twice a second, one question at a time, and not while
 * nobody sees it. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";

/** ms between two questions, at least */
export const PAUSE = 500;
/** ms after the last image, when what came out of order is surely there */
const LAST = 1500;

export interface Work {
  /** Ask and show. `anew` = nothing of before is of use. */
  ask(signal: AbortSignal, anew: boolean): Promise<void>;
  /** Say what is wrong; null = nothing is. */
  trouble(words: string | null): void;
}

/** Key of the series that is looked at; null = there is none yet. */
export function seriesLookedAt(app: App): string | null {
  return app.store.series.value ?? app.store.status.value?.series?.series ?? null;
}

export class Refresh {
  #app: App;
  #work: Work;
  #seen = true;
  #dirty = true;
  #anew = true;
  #busy = false;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastTimer: ReturnType<typeof setTimeout> | undefined;
  #next = 0;
  #abort = new AbortController();
  #stops: (() => void)[] = [];

  /** `live`: results that come are a reason to ask; else only `now` is. */
  constructor(app: App, work: Work, live = true) {
    this.#app = app;
    this.#work = work;
    let key = seriesLookedAt(app);
    const another = (): void => {
      const now = seriesLookedAt(app);
      if (now === key) return;
      key = now;
      this.now(true);
    };
    if (live) {
      let books = this.#books();
      this.#stops.push(
        app.store.series.follow(another),
        app.store.status.follow(() => {
          another();
          const now = this.#books();
          if (now === books || now === null) return;
          books = now;
          this.soon(false);
          clearTimeout(this.#lastTimer);
          this.#lastTimer = setTimeout(() => this.soon(true), LAST);
        }),
      );
    }
    queueMicrotask(() => this.now(true));
  }

  /** Ask at once, since the user wants it. */
  now(anew: boolean): void {
    this.#next = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.soon(anew);
  }

  /** Ask when the pause is over, since something came. */
  soon(anew: boolean): void {
    this.#dirty = true;
    this.#anew ||= anew;
    this.#turn();
  }

  seen(now: boolean): void {
    this.#seen = now;
    this.#turn();
  }

  dispose(): void {
    this.#ended = true;
    this.#abort.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#lastTimer);
    for (const stop of this.#stops) stop();
  }

  /** What became of the images of the series that is looked at, as a text; null = it is not the one that runs. */
  #books(): string | null {
    const series = this.#app.store.status.value?.series;
    if (series === null || series === undefined || series.series !== seriesLookedAt(this.#app)) return null;
    const { analysed, skipped, failed, late, missing, ended } = series.books;
    return [series.series, analysed, skipped, failed, late, missing, ended].join(" ");
  }

  #turn(): void {
    if (!this.#dirty || !this.#seen || this.#busy || this.#ended || this.#timer !== undefined) return;
    const wait = this.#next - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#turn();
      }, wait);
      return;
    }
    void this.#run();
  }

  async #run(): Promise<void> {
    const anew = this.#anew;
    const begin = performance.now();
    this.#dirty = this.#anew = false;
    this.#busy = true;
    try {
      await this.#work.ask(this.#abort.signal, anew);
      if (!this.#ended) this.#work.trouble(null);
    } catch (error) {
      if (this.#ended || (error instanceof DOMException && error.name === "AbortError")) return;
      // of a change that is not seen yet, all is asked for next time
      this.#anew = true;
      this.#work.trouble(error instanceof Error ? error.message : String(error));
      if (!(error instanceof ApiError)) console.error(error);
    } finally {
      this.#busy = false;
      const took = performance.now() - begin;
      this.#next = begin + Math.max(PAUSE, 4 * took);
      this.#turn();
    }
  }
}

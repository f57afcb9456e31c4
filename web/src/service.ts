/** What the service is asked for again and again: its state, its series. In one place, and not while the page is hidden. */
import { ApiError } from "./api.ts";
import type { OpenedFile, SeriesInfo, Status } from "./api_types.ts";
import type { App } from "./app.ts";
import { text } from "./text.ts";

const PAUSE = 1000;
const LONGEST_PAUSE = 10_000;
const PATIENCE = 15_000;
/** ms after which the series are asked for although nothing happened */
const SERIES_PAUSE = 5000;

/** ms until the next try, after `failures` that followed one another. */
export function pauseAfter(failures: number): number {
  return Math.min(PAUSE * 2 ** failures, LONGEST_PAUSE);
}

export interface Told {
  /** nobody answers, for the first time */
  lost(): void;
  /** somebody answers again */
  back(): void;
}

export class Service {
  #app: App;
  #told: Told;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #polling = false;
  #series = { key: "", time: 0 };

  constructor(app: App, told: Told) {
    this.#app = app;
    this.#told = told;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.now();
    });
    window.addEventListener("online", () => this.now());
  }

  /** Ask at once, and from then on. */
  now(): void {
    clearTimeout(this.#timer);
    void this.#poll();
  }

  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    try {
      await this.#ask();
      const before = this.#failures;
      this.#failures = 0;
      if (before > 0) this.#told.back();
    } catch (error) {
      this.#app.store.status.value = null;
      if (!(error instanceof ApiError)) this.#app.fail(error);
      this.#failures += 1;
      if (this.#failures === 1) this.#told.lost();
    } finally {
      this.#polling = false;
    }
    clearTimeout(this.#timer);
    if (!document.hidden) this.#timer = setTimeout(() => void this.#poll(), pauseAfter(this.#failures));
  }

  async #ask(): Promise<void> {
    const { api, store } = this.#app;
    const status = await api.json<Status>("status", { signal: AbortSignal.timeout(PATIENCE) });
    store.status.value = status;
    const key = `${status.series?.series} ${status.series?.phase} ${status.state}`;
    if (key === this.#series.key && performance.now() - this.#series.time < SERIES_PAUSE) return;
    this.#series = { key, time: performance.now() };
    store.streamed.value = await api.json<SeriesInfo[]>("series", { signal: AbortSignal.timeout(PATIENCE) });
    const opened = await api.json<OpenedFile[]>("files/opened", { signal: AbortSignal.timeout(PATIENCE) });
    store.opened.value = opened;
    // without a stream the first file is what is looked at
    if (store.session.value.source === "files") store.series.value ??= opened[0]?.series ?? null;
  }
}

/** Whether the service has other files of the page than those that run here: it was updated. */
export async function isOtherPage(base: string): Promise<boolean> {
  const script = document.querySelector<HTMLScriptElement>('script[type="module"]')?.getAttribute("src");
  try {
    const response = await fetch(base, { cache: "no-store", credentials: "same-origin" });
    return response.ok && script != null && !(await response.text()).includes(script);
  } catch {
    return false;
  }
}

/** Tell once that nobody answers, and once that somebody does again. */
export function toldOf(app: App, reconnect: () => void, untell: (words: string) => void): Told {
  return {
    lost: () => app.tell(text.shell.unreachable, "error"),
    back: () => {
      untell(text.shell.unreachable);
      app.tell(text.shell.reachable);
      reconnect();
      void isOtherPage(document.baseURI.split("#")[0] ?? "").then((other) => {
        if (other) app.tell(text.shell.otherPage, "warning", { text: text.shell.reload, press: () => location.reload() });
      });
    },
  };
}

/** What is told of the image that is shown: about and spots. */
import { ApiError } from "../api.ts";
import type { About, Columns } from "../api_types.ts";
import type { App } from "../app.ts";
import { spotsThere } from "../spots_there.ts";

const EVERY = 2000;

export class Facts {
  #app: App;
  #asking: AbortController | null = null;
  #of = "";
  #at = -Infinity;
  #changed: () => void;

  /** `changed` is called when `store.about` came. */
  constructor(app: App, changed: () => void) {
    this.#app = app;
    this.#changed = changed;
  }

  dispose(): void {
    this.#asking?.abort();
  }

  /** Of a live image: row and spots came with it, the rest is asked for now and then. */
  live(series: string, number: number, row: About["row"] | undefined, spots: Columns | undefined): void {
    const { store } = this.#app;
    this.#of = "";
    store.spots.value = spots ?? null;
    const about = store.about.value;
    if (about?.series === series) store.about.value = { ...about, image: number, row: row ?? about.row };
    if (about?.series !== series || performance.now() - this.#at > EVERY) void this.#ask(series, number, false);
  }

  /** Of an image that is held: all of it, once. */
  held(series: string, number: number): void {
    const key = `${series} ${number}`;
    if (this.#of === key) return;
    this.#of = key;
    void this.#ask(series, number, true);
  }

  async #ask(series: string, number: number, held: boolean): Promise<void> {
    this.#at = performance.now();
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const { store, api } = this.#app;
    const request = { query: { series }, signal: asking.signal };
    try {
      const about = await api.json<About>(`images/${number}/about`, request);
      if (asking.signal.aborted) return;
      // of a live one another may have come in the meantime, with its own row
      const now = store.about.value;
      store.about.value = held || now === null || now.series !== series ? about : { ...about, image: now.image, row: now.row };
      this.#changed();
      if (!held) return;
      if (!spotsThere(store, series)) {
        store.spots.value = null;
        return;
      }
      const { spots } = await api.json<{ spots: Columns }>(`images/${number}/spots`, request);
      if (!asking.signal.aborted) store.spots.value = spots;
    } catch (error) {
      if (asking.signal.aborted) return;
      const gone = error instanceof ApiError && error.reason === "not_found";
      if (!gone) this.#of = "";
      if (!held) return;
      if (store.about.value?.image !== number) store.spots.value = null;
      if (!gone) this.#app.fail(error);
    }
  }
}

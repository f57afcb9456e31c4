/** The mask as a picture over the image. */
import type { App } from "../app.ts";
import type { Paint } from "./contrast.ts";
import type { Frames } from "./frames.ts";
import type { Pictures } from "./pictures.ts";
import { headOf, partQuery } from "./requests.ts";

const PAUSE = 120;
/** ms after which the mask of a live image is asked for again: a person may have changed it */
const EVERY = 5000;
const MOST = 1_000_000;

export class MaskPicture {
  #app: App;
  #frames: Frames;
  #pictures: Pictures;
  #paint: () => Paint;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | null = null;
  #key = "";
  #at = -Infinity;

  constructor(app: App, frames: Frames, pictures: Pictures, paint: () => Paint) {
    this.#app = app;
    this.#frames = frames;
    this.#pictures = pictures;
    this.#paint = paint;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  /** Another part, or another image, is shown. */
  want(): void {
    this.#pictures.maskSeen = this.#app.store.overlays.value.mask;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#load(), PAUSE);
  }

  /** An image came. */
  tick(): void {
    if (performance.now() - this.#at > EVERY) this.want();
  }

  async #load(): Promise<void> {
    const { image, overlays, look, mode } = this.#app.store;
    this.#at = performance.now();
    if (!overlays.value.mask || image.value === null || look.value.layer === "mask") return;
    const { series, number } = image.value;
    const frame = look.value.frame === "laboratory" ? { frame: look.value.frame } : {};
    const query = { series, layer: "mask", bin: "max", ...frame, ...partQuery(this.#frames.part(series, MOST)) };
    const turn = mode.value === "live" ? Math.floor(performance.now() / EVERY) : number;
    const key = JSON.stringify([turn, query]);
    if (key === this.#key) return;
    this.#key = key;
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const { headers, bytes } = await this.#app.api.bytes(`images/${number}/view`, { query, signal: asking.signal });
      if (!asking.signal.aborted) await this.#pictures.show("mask", new Uint8Array(bytes), headOf(headers), this.#paint());
    } catch {
      this.#key = ""; // the image has gone, or another part is wanted: the next turn asks again
    }
  }
}

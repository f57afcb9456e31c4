/** Numbers of the images that can be shown: those that the ring holds, or all of a file. */
import type { App } from "../app.ts";
import type { Shown } from "../store.ts";

/** ms between two looks */
export const HELD_EVERY = 1000;

export class Held {
  /** of which series `store.held` is */
  #of = "";
  #at = -Infinity;
  #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** Whether it is known that an image cannot be had any more. */
  left({ series, number }: Shown): boolean {
    return this.#of === series && !this.#app.store.held.value.includes(number);
  }

  /** Ask again, unless that was done less than so many ms ago. */
  async refresh(series: string, age = 0): Promise<void> {
    if (this.#of === series && performance.now() - this.#at < age) return;
    this.#at = performance.now();
    const { images } = await this.#app.api.json<{ images: number[] }>("images", { query: { series } });
    const { image, held, series: chosen } = this.#app.store;
    if (image.value !== null && image.value.series !== series && chosen.value !== series) return;
    this.#of = series;
    held.value = images;
  }
}

/** The number `by` places further in an ascending list; null = there is none. */
export function stepped(held: readonly number[], number: number, by: number): number | null {
  const ahead = held.filter((each) => (by > 0 ? each > number : each < number));
  if (ahead.length === 0) return null;
  const at = by > 0 ? Math.min(by, ahead.length) - 1 : Math.max(ahead.length + by, 0);
  return ahead[at] ?? null;
}

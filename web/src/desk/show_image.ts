/** Look at an image that an event, an alarm or a note is about. */
import type { App } from "../app.ts";

/** Hold it; `series` null = that which is looked at. */
export function showImage(app: App, series: string | null, number: number): void {
  const { store } = app;
  const key = series ?? store.series.value ?? store.status.value?.series?.series ?? null;
  if (key === null) return;
  store.mode.value = "hold";
  if (store.series.value !== null && store.series.value !== key) store.series.value = key;
  store.image.value = { series: key, number };
}

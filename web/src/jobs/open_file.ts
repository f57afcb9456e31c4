/** A finished file becomes a series that can be looked at. */
import type { OpenedFile } from "../api_types.ts";
import type { App } from "../app.ts";
import { text } from "../text.ts";

/** Open a file below the data root, and look at it.
 *
 * Throws ApiError. */
export async function openFile(app: App, path: string, more: { apart?: boolean } = {}): Promise<OpenedFile> {
  const opened = await app.api.json<OpenedFile>("files", { method: "POST", body: { path, ...more } });
  const { store } = app;
  store.opened.value = [opened, ...store.opened.value.filter((each) => each.series !== opened.series)];
  store.series.value = opened.series;
  app.tell(text.jobs.opened(path));
  for (const words of opened.notes) app.tell(words);
  return opened;
}

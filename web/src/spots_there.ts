/** Whether spots of a series can be asked for. */
import type { Store } from "./store.ts";

/** False = no list has them, and without a geometry none can be found. */
export function spotsThere(store: Pick<Store, "opened" | "streamed" | "status">, series: string): boolean {
  const file = store.opened.value.find((each) => each.series === series);
  if (file !== undefined) return file.geometry !== null || file.overlays.length > 0;
  const stream = [store.status.value?.series, ...store.streamed.value].find((each) => each?.series === series);
  return stream == null || stream.geometry !== null;
}

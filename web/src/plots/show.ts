/** An image that was pointed at in a plot, a map or a table is shown. */
import type { App } from "../app.ts";
import type { Part } from "../store.ts";
import { text } from "../text.ts";
import { seriesLookedAt } from "./refresh.ts";

/** Hold the image of that number, or say why it cannot be shown. `series` null = the newest one. */
export async function showImage(app: App, number: number, series: string | null = seriesLookedAt(app)): Promise<void> {
  if (number < 0) return;
  try {
    const held = await app.api.json<Held>("images", { query: { series } });
    if (held.series === null || !held.images.includes(number)) {
      app.tell(text.plots.notHeld(number, held.images[0], held.images.at(-1)), "warning");
      return;
    }
    app.store.mode.value = "hold";
    app.store.image.value = { series: held.series, number };
  } catch (error) {
    app.fail(error);
  }
}

interface Held {
  series: string | null;
  images: number[];
}

/** px along each side, where the whole detector was shown before */
const NEAR = 128;

/** A part of the same size about a place. */
export function centred(part: Part | null, slow: number, fast: number): Part {
  const high = part === null ? NEAR : part.slow1 - part.slow0;
  const wide = part === null ? NEAR : part.fast1 - part.fast0;
  return { slow0: slow - high / 2, slow1: slow + high / 2, fast0: fast - wide / 2, fast1: fast + wide / 2 };
}

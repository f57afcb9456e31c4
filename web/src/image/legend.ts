/** What the colours and symbols over the image mean: only what is to be seen. */
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import { css, MASK_COLORS, SATURATED, UNUSABLE } from "./colors.ts";
import type { Pictures } from "./pictures.ts";
import { ICE_COLOR, outline, SPOT_COLOR, spotCounts, type Shape } from "./spots.ts";

interface Entry {
  color: string;
  shape: Shape | "area";
  words: string;
}

function entries(app: App, pictures: Pictures): Entry[] {
  const { overlays, spots, spotSets, look, about } = app.store;
  const words = text.image, made: Entry[] = [];
  const { all, ice } = spotCounts(spots.value);
  if (overlays.value.spots && spots.value !== null) {
    made.push({ color: SPOT_COLOR, shape: "circle", words: words.spotCount(all) });
    if (ice > 0) made.push({ color: ICE_COLOR, shape: "circle", words: words.iceCount(ice) });
  }
  for (const set of spotSets.value) {
    if (set.visible) made.push({ color: set.color, shape: set.shape, words: `${set.name}${set.spots === null ? "" : `: ${set.spots.slow?.length ?? 0}`}` });
  }
  const area = (color: number, name: string): void => void made.push({ color: css(color), shape: "area", words: name });
  if (look.value.layer === "mask") {
    area(MASK_COLORS.detector, words.detectorMask);
    area(MASK_COLORS.user, words.masked);
    area(MASK_COLORS.lost, words.unusable);
  } else {
    area(UNUSABLE, words.unusable);
    if (overlays.value.mask && ((pictures.has("mask")?.levels.max ?? 0) & 2) !== 0) area(MASK_COLORS.user, words.masked);
    if (overlays.value.saturated && look.value.layer === "counts" && (about.value?.saturation ?? null) !== null) area(SATURATED, words.saturated);
  }
  return made;
}

function sign({ color, shape }: Entry): HTMLElement {
  if (shape === "area") {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = color;
    return swatch;
  }
  const canvas = element("canvas", { set: { width: "32", height: "32", "aria-hidden": "true" } });
  const context = canvas.getContext("2d");
  if (context !== null) {
    context.scale(2, 2);
    context.translate(8, 8);
    outline(context, shape, 4.5);
    context.strokeStyle = color;
    context.lineWidth = 1.8;
    context.stroke();
  }
  return canvas;
}

export class Legend {
  readonly element = element("div", { class: "image-legend", role: "group", label: text.image.legend });
  #before = "";
  #stops: (() => void)[];
  #app: App;
  #pictures: Pictures;

  constructor(app: App, pictures: Pictures) {
    this.#app = app;
    this.#pictures = pictures;
    const { overlays, spots, spotSets, look, about } = app.store;
    this.#stops = [followAll([overlays, spots, spotSets, look, about, pictures.shown] as never, () => this.#show(), true)];
  }

  /** For a caption. */
  get words(): string[] {
    return entries(this.#app, this.#pictures).filter(({ shape }) => shape !== "area").map(({ words }) => words);
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #show(): void {
    const made = this.#pictures.shown.value === null ? [] : entries(this.#app, this.#pictures);
    const key = JSON.stringify(made);
    if (key === this.#before) return;
    this.#before = key;
    this.element.hidden = made.length === 0;
    this.element.replaceChildren(...made.map((entry) => element("span", {}, sign(entry), entry.words)));
  }
}

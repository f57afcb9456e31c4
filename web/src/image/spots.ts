/** Spots over the image: of the run and of other sets, each with its colour and shape, larger where they are stronger. */
import type { App } from "../app.ts";
import type { Columns } from "../api_types.ts";
import { followAll } from "../signal.ts";
import type { SpotSet } from "../store.ts";
import type { ImageCanvas, Pointing } from "./canvas.ts";
import type { Point, View } from "./view.ts";

export type Shape = SpotSet["shape"];

export const SPOT_COLOR = "#e0311f";
export const ICE_COLOR = "#0099bb";
/** bit of the column flags */
const ICE_FLAG = 8;
const NEAR = 7;
const SIZES = 12;

/** CSS px of a symbol: by the logarithm of the intensity, smaller where much of the detector is seen, and never inside of the spot it shows. */
export function radiusOf(intensity: number | null | undefined, zoom: number): number {
  const strength = Math.log10(Math.max(intensity ?? 1, 1));
  const step = Math.min(Math.round(2 * strength), SIZES);
  const far = Math.min(0.4 + 0.6 * zoom, 1);
  return Math.max(Math.round(2 * far * (4 + 0.5 * step)) / 2, Math.min(2.2 * zoom, 60));
}

/** Where the spots of a list that are in view lie: index, x, y, one after the other. */
export function inView(columns: Columns, view: View, margin = 20): Float64Array {
  const slow = columns.slow ?? [], fast = columns.fast ?? [];
  const made = new Float64Array(3 * slow.length);
  let count = 0;
  const direct = view.mapping.toShown;
  for (let index = 0; index < slow.length; index += 1) {
    const place = direct(slow[index]!, fast[index]!);
    if (place === null) continue;
    const x = (place.fast - view.fast0) * view.zoom, y = (place.slow - view.slow0) * view.zoom;
    if (x < -margin || y < -margin || x > view.width + margin || y > view.height + margin) continue;
    made[count++] = index;
    made[count++] = x;
    made[count++] = y;
  }
  return made.subarray(0, count);
}

const symbols = new Map<string, HTMLCanvasElement>();

/** A symbol, drawn once: coloured with a light border, so that it is seen on any colours. */
function symbol(shape: Shape, color: string, radius: number, ratio: number): HTMLCanvasElement {
  const key = `${shape} ${color} ${radius} ${ratio}`;
  let made = symbols.get(key);
  if (made !== undefined) return made;
  if (symbols.size > 400) symbols.clear();
  made = document.createElement("canvas");
  const half = radius + 3;
  made.width = made.height = Math.ceil(2 * half * ratio);
  const context = made.getContext("2d");
  if (context !== null) {
    context.scale(ratio, ratio);
    context.translate(half, half);
    outline(context, shape, radius);
    context.strokeStyle = "rgb(255 255 255 / 70%)";
    context.lineWidth = radius < 6 ? 2.4 : 3.4;
    context.stroke();
    context.strokeStyle = color;
    context.lineWidth = radius < 6 ? 1.2 : 1.6;
    context.stroke();
  }
  symbols.set(key, made);
  return made;
}

export function outline(context: CanvasRenderingContext2D, shape: Shape, radius: number): void {
  context.beginPath();
  if (shape === "circle") context.arc(0, 0, radius, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(-radius, -radius, 2 * radius, 2 * radius);
  else if (shape === "diamond") {
    context.moveTo(0, -1.3 * radius);
    context.lineTo(1.3 * radius, 0);
    context.lineTo(0, 1.3 * radius);
    context.lineTo(-1.3 * radius, 0);
    context.closePath();
  } else {
    context.moveTo(-radius, -radius);
    context.lineTo(radius, radius);
    context.moveTo(radius, -radius);
    context.lineTo(-radius, radius);
  }
}

function drawSet(context: CanvasRenderingContext2D, view: View, columns: Columns, shape: Shape, colorOf: (index: number) => string): void {
  const places = inView(columns, view);
  const { intensity } = columns;
  for (let at = 0; at < places.length; at += 3) {
    const index = places[at]!;
    const radius = radiusOf(intensity?.[index], view.zoom);
    const made = symbol(shape, colorOf(index), radius, view.ratio);
    const half = made.width / view.ratio / 2;
    context.drawImage(made, places[at + 1]! - half, places[at + 2]! - half, 2 * half, 2 * half);
  }
}

export class SpotLayer {
  #app: App;
  #canvas: ImageCanvas;
  #stops: (() => void)[];

  /** `chosen` is called when a spot was clicked. */
  constructor(app: App, canvas: ImageCanvas, chosen: () => void) {
    this.#app = app;
    this.#canvas = canvas;
    const { store } = app;
    this.#stops = [
      canvas.addLayer({ z: 20, draw: (context, view) => this.#draw(context, view) }),
      followAll([store.spots, store.spotSets, store.overlays, store.spot] as never, () => canvas.redraw("still")),
      canvas.addTool({
        priority: 30,
        clicks: true,
        hit: (at) => (at.button === 0 && !at.shift && this.nearest(at) !== null ? "pointer" : null),
        down: () => {},
        up: (at, moved) => {
          const index = moved ? null : this.nearest(at);
          if (index === null) return;
          if (store.mode.value === "live") store.mode.value = "hold";
          store.spot.value = index;
          chosen();
        },
      }),
    ];
  }

  /** The spot of the run nearest to a place on the screen, when it is near. */
  nearest(at: Pointing): number | null {
    const { spots, overlays } = this.#app.store;
    if (spots.value === null || !overlays.value.spots) return null;
    const view = this.#canvas.view.value;
    const places = inView(spots.value, view, 0);
    let best: number | null = null, least = Infinity;
    for (let place = 0; place < places.length; place += 3) {
      const far = Math.hypot(places[place + 1]! - at.x, places[place + 2]! - at.y);
      const reach = Math.max(NEAR, radiusOf(spots.value.intensity?.[places[place]!], view.zoom));
      if (far < reach && far < least) {
        least = far;
        best = places[place]!;
      }
    }
    return best;
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #draw(context: CanvasRenderingContext2D, view: View): void {
    const { spots, spotSets, overlays, spot } = this.#app.store;
    if (overlays.value.spots && spots.value !== null) {
      const { flags } = spots.value;
      drawSet(context, view, spots.value, "circle", (index) => ((flags?.[index] ?? 0) & ICE_FLAG ? ICE_COLOR : SPOT_COLOR));
    }
    for (const set of spotSets.value) {
      if (set.visible && set.spots !== null) drawSet(context, view, set.spots, set.shape, () => set.color);
    }
    const columns = spots.value, index = spot.value;
    if (columns === null || index === null || columns.slow?.[index] === undefined) return;
    const place = view.detectorToScreen(columns.slow[index]!, columns.fast?.[index] ?? 0);
    if (place !== null) drawSelected(context, place, radiusOf(columns.intensity?.[index], view.zoom));
  }
}

function drawSelected(context: CanvasRenderingContext2D, { x, y }: Point, radius: number): void {
  for (const [color, width] of [["rgb(255 255 255 / 85%)", 4.5], ["#111", 2]] as const) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius + 4, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + dx * (radius + 4), y + dy * (radius + 4));
      context.lineTo(x + dx * (radius + 11), y + dy * (radius + 11));
    }
    context.stroke();
  }
}

/** Spots that are ice, and all of them. */
export function spotCounts(columns: Columns | null): { all: number; ice: number } {
  const flags = columns?.flags ?? [];
  return { all: columns?.slow?.length ?? 0, ice: flags.filter((each) => ((each ?? 0) & ICE_FLAG) !== 0).length };
}

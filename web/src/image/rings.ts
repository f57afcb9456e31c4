/** Resolution rings, ice rings and the beam centre over the image. */
import type { App } from "../app.ts";
import { followAll } from "../signal.ts";
import type { Place } from "../store.ts";
import { text } from "../text.ts";
import type { ImageCanvas } from "./canvas.ts";
import { Geometry } from "./geometry.ts";
import { ICE, niceSpacings, twoThetaOf } from "./spacings.ts";
import type { Point, View } from "./view.ts";

const RING_COLOR = "#3f4a5a";
const ICE_RING_COLOR = "#0099bb";
const BEAM_COLOR = "#c2185b";
const HALO = "rgb(255 255 255 / 75%)";
const SAMPLES = 8;

/** The geometry of the image that is shown, made once. */
export class ShownGeometry {
  #app: App;
  #values: Record<string, unknown> | null = null;
  #text = "";
  #made: Geometry | null = null;

  constructor(app: App) {
    this.#app = app;
  }

  get value(): Geometry | null {
    const values = this.#app.store.about.value?.geometry ?? null;
    if (values !== this.#values) {
      this.#values = values;
      const words = JSON.stringify(values);
      if (words !== this.#text) {
        this.#text = words;
        this.#made = Geometry.of(values);
      }
    }
    return this.#made;
  }

  /** px of the detector where the beam meets it; with several panels, as the geometry tells it. */
  get beam(): Place | null {
    const geometry = this.value;
    if (geometry === null) return null;
    const values = this.#values ?? {};
    if (values.panels !== undefined && values.panels !== null) {
      const [slow, fast] = values.beam_center as [number, number];
      return { slow, fast };
    }
    return geometry.place(0, 0);
  }
}

export class RingLayer {
  #app: App;
  #geometry: ShownGeometry;
  #curves = new Map<number, Place[][]>();
  #of: Geometry | null = null;
  #stops: (() => void)[];

  constructor(app: App, canvas: ImageCanvas, geometry: ShownGeometry) {
    this.#app = app;
    this.#geometry = geometry;
    const { store } = app;
    this.#stops = [
      canvas.addLayer({ z: 15, draw: (context, view) => this.#draw(context, view) }),
      followAll([store.overlays, store.rings] as never, () => canvas.redraw("still")),
      store.about.follow((about, before) => {
        if (about?.geometry !== before?.geometry) canvas.redraw("still");
      }),
    ];
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #draw(context: CanvasRenderingContext2D, view: View): void {
    const geometry = this.#geometry.value;
    if (geometry === null) return;
    if (geometry !== this.#of) {
      this.#of = geometry;
      this.#curves.clear();
    }
    const { overlays, rings } = this.#app.store;
    const { ice, rings: wanted, beam } = overlays.value;
    context.font = "11.5px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "center";
    if (ice) for (const d of ICE) this.#ring(context, view, geometry, d, ICE_RING_COLOR, [5, 4], null);
    if (wanted) {
      const spacings = rings.value.length > 0 ? rings.value : automatic(geometry, view);
      for (const d of spacings) this.#ring(context, view, geometry, d, RING_COLOR, [], text.image.angstrom(d));
    }
    const center = beam ? this.#beam(view) : null;
    if (center !== null) drawBeam(context, center);
  }

  /** The beam in the picture: with panels in the laboratory, where the plane has it. */
  #beam(view: View): Point | null {
    const there = view.mapping.beam;
    if (there !== undefined) return view.toScreen(there.slow, there.fast);
    const { beam } = this.#geometry;
    if (beam === null) return null;
    return view.detectorToScreen(beam.slow, beam.fast);
  }

  #ring(context: CanvasRenderingContext2D, view: View, geometry: Geometry, d: number, color: string, dash: number[], label: string | null): void {
    let curve = this.#curves.get(d);
    if (curve === undefined) {
      const twoTheta = twoThetaOf(geometry, d);
      curve = twoTheta === null ? [] : geometry.arc(twoTheta, 0, 360);
      this.#curves.set(d, curve);
    }
    context.beginPath();
    let best: Point | null = null;
    for (const line of curve) {
      let drawing = false;
      for (const { slow, fast } of line) {
        const at = view.detectorToScreen(slow, fast);
        if (at === null) {
          drawing = false;
          continue;
        }
        if (drawing) context.lineTo(at.x, at.y);
        else context.moveTo(at.x, at.y);
        drawing = true;
        const seen = at.x > 26 && at.x < view.width - 26 && at.y > 12 && at.y < view.height - 12;
        if (seen && (best === null || at.x - at.y > best.x - best.y)) best = at;
      }
    }
    context.setLineDash([]);
    context.strokeStyle = HALO;
    context.lineWidth = 2.6;
    context.stroke();
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.lineWidth = 1.1;
    context.stroke();
    context.setLineDash([]);
    if (label !== null && best !== null) drawLabel(context, label, best, color);
  }
}

/** Round spacings of the rings that cross what is seen. */
function automatic(geometry: Geometry, view: View): number[] {
  let low = Infinity, high = 0;
  const [rows, columns] = view.shape;
  for (let row = 0; row <= SAMPLES; row += 1) {
    for (let column = 0; column <= SAMPLES; column += 1) {
      const place = view.fromScreen((column / SAMPLES) * view.width, (row / SAMPLES) * view.height);
      if (place.slow < 0 || place.fast < 0 || place.slow > rows || place.fast > columns) continue;
      const on = view.mapping.toDetector(place.slow, place.fast);
      const twoTheta = on === null ? NaN : geometry.twoThetaAt(on.slow, on.fast);
      if (Number.isNaN(twoTheta)) continue;
      low = Math.min(low, twoTheta);
      high = Math.max(high, twoTheta);
    }
  }
  return niceSpacings(geometry, low < 0.15 * high ? 0 : low, high);
}

export function drawLabel(context: CanvasRenderingContext2D, words: string, { x, y }: Point, color: string): void {
  const half = context.measureText(words).width / 2 + 4;
  context.fillStyle = "rgb(255 255 255 / 88%)";
  context.beginPath();
  context.roundRect(x - half, y - 8, 2 * half, 16, 3);
  context.fill();
  context.fillStyle = color;
  context.fillText(words, x, y + 0.5);
}

function drawBeam(context: CanvasRenderingContext2D, { x, y }: Point): void {
  for (const [color, width] of [[HALO, 3.6], [BEAM_COLOR, 1.6]] as const) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 12 * dx, y + 12 * dy);
    }
    context.stroke();
  }
}

/** What lies under the cursor, of the mouse or of the keyboard, and the distance between two places. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { short, UNKNOWN } from "../numbers.ts";
import { Signal } from "../signal.ts";
import type { Place } from "../store.ts";
import { text } from "../text.ts";
import type { ImageCanvas } from "./canvas.ts";
import { degrees } from "./geometry.ts";
import type { Pictures } from "./pictures.ts";
import type { ShownGeometry } from "./rings.ts";
import type { View } from "./view.ts";

/** Of a pixel, as the service tells it. */
interface Pixel {
  slow: number;
  fast: number;
  counts: number | null;
  background: number | null;
  significance: number | null;
  mask: string[];
  panel: number | string | null;
}

const PAUSE = 90;
const SPOKEN_EVERY = 1200;

/** Two places that are compared, px of the detector. */
export interface Measured {
  from: Place;
  to: Place | null;
}

export class Cursor {
  readonly element: HTMLElement;
  /** whether arrows move a cross of the keyboard */
  readonly crossed = new Signal(false);
  readonly measured = new Signal<Measured | null>(null);
  #app: App;
  #canvas: ImageCanvas;
  #pictures: Pictures;
  #geometry: ShownGeometry;
  #fields = new Map<string, HTMLElement>();
  #spoken = element("div", { class: "hidden-words", role: "status", set: { "aria-live": "polite" } });
  #spokenAt = 0;
  #spokenTimer: ReturnType<typeof setTimeout> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | null = null;
  #pixel: { key: string; pixel: Pixel } | null = null;
  #measuring = false;
  /** the second place is not fixed yet; and whether the press that is on began with the first */
  #pending = false;
  #began = false;
  #stops: (() => void)[];

  constructor(app: App, canvas: ImageCanvas, pictures: Pictures, geometry: ShownGeometry) {
    this.#app = app;
    this.#canvas = canvas;
    this.#pictures = pictures;
    this.#geometry = geometry;
    const cells = (Object.keys(text.image.cursor) as (keyof typeof text.image.cursor)[]).map((name) => {
      const value = element("output", { class: "number", set: { "data-field": name } }, UNKNOWN);
      this.#fields.set(name, value);
      return element("span", { class: `cursor-field cursor-${name}` }, element("span", { class: "soft" }, text.image.cursor[name]), " ", value);
    });
    this.element = element("div", { class: "image-cursor", role: "group", label: text.image.underCursor }, ...cells, this.#spoken);
    const { store } = app;
    this.#stops = [
      canvas.hover.follow((at) => {
        if (at !== null) store.cursor.value = inside(at.detector, store.about.value?.shape ?? canvas.view.value.shape);
        else if (!this.crossed.value) store.cursor.value = null;
        if (at?.detector) this.#measureTo(at.detector);
      }),
      store.cursor.follow(() => this.#changed()),
      pictures.shown.follow((now, before) => {
        if (now?.head !== before?.head) this.#changed();
      }),
      store.about.follow((about, before) => {
        if (about?.geometry !== before?.geometry) this.#changed();
      }),
      canvas.addLayer({ z: 80, draw: (context, view) => this.#draw(context, view) }),
      canvas.addTool({
        priority: 90,
        hit: (at) => (this.#measuring && at.button === 0 ? "crosshair" : null),
        down: (at) => {
          this.#began = !this.#pending;
          if (this.#began && at.detector !== null) this.#measureFrom(at.detector);
        },
        up: (at, moved) => {
          if (at.detector !== null && (moved || !this.#began)) this.#end(at.detector);
        },
        move: (at) => {
          if (at.detector !== null) this.#measureTo(at.detector);
        },
        key: (event) => this.#key(event),
      }),
      this.measured.follow(() => {
        this.#changed();
        canvas.redraw("top");
      }),
      this.crossed.follow(() => canvas.redraw("top")),
    ];
  }

  get measuring(): boolean {
    return this.#measuring;
  }

  /** Begin to measure, or stop and forget what was measured. */
  measure(): void {
    this.#measuring = !this.#measuring;
    this.#pending = false;
    this.measured.value = null;
    if (this.#measuring) this.#app.tell(text.image.measureHelp);
    this.#canvas.retool();
  }

  /** Show or hide the cross that the arrows move. */
  cross(): void {
    const { store } = this.#app;
    if (!this.crossed.value && this.#canvas.view.value.shape[0] <= 1) {
      this.#app.tell(text.shell.noImage);
      return;
    }
    this.crossed.value = !this.crossed.value;
    if (!this.crossed.value || store.cursor.value !== null) return;
    const { width, height } = this.#canvas.view.value;
    const middle = this.#canvas.view.value.screenToDetector(width / 2, height / 2);
    store.cursor.value = middle && { slow: Math.floor(middle.slow) + 0.5, fast: Math.floor(middle.fast) + 0.5 };
  }

  /** Move the cross by pixels. */
  move(slow: number, fast: number): void {
    const { store } = this.#app;
    const now = store.cursor.value, [rows, columns] = store.about.value?.shape ?? this.#canvas.view.value.shape;
    if (now === null) return;
    const clamped = (value: number, end: number): number => Math.min(Math.max(Math.floor(value), 0), end - 1) + 0.5;
    store.cursor.value = { slow: clamped(now.slow + slow, rows), fast: clamped(now.fast + fast, columns) };
    const at = this.#canvas.view.value.detectorToScreen(store.cursor.value.slow, store.cursor.value.fast);
    const { width, height } = this.#canvas.view.value;
    if (at !== null && (at.x < 0 || at.y < 0 || at.x > width || at.y > height)) this.#canvas.panBy(width / 2 - at.x, height / 2 - at.y);
    this.#measureTo(store.cursor.value);
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    this.element.remove();
    clearTimeout(this.#timer);
    clearTimeout(this.#spokenTimer);
    this.#asking?.abort();
  }

  #key(event: KeyboardEvent): boolean {
    if (event.key === "Escape" && (this.#measuring || this.crossed.value)) {
      if (this.#measuring) this.measure();
      else this.cross();
      return true;
    }
    if (event.key === "Enter" && this.#measuring && this.crossed.value && this.#app.store.cursor.value !== null) {
      if (this.#pending) this.#end(this.#app.store.cursor.value);
      else this.#measureFrom(this.#app.store.cursor.value);
      return true;
    }
    return false;
  }

  #measureFrom(place: Place): void {
    this.#pending = true;
    this.measured.value = { from: place, to: null };
  }

  /** The second place follows the cursor until it is fixed. */
  #measureTo(place: Place): void {
    const now = this.measured.value;
    if (this.#pending && now !== null) this.measured.value = { from: now.from, to: place };
  }

  #end(place: Place): void {
    this.#measureTo(place);
    this.#pending = false;
  }

  #set(name: keyof typeof text.image.cursor, words: string): void {
    const field = this.#fields.get(name);
    if (field !== undefined && field.textContent !== words) field.textContent = words;
  }

  /** The cursor, while it is on the detector of the image: the last one may have been larger. */
  get #place(): Place | null {
    const { about, cursor, image } = this.#app.store;
    return about.value === null || about.value.series !== image.value?.series ? null : inside(cursor.value, about.value.shape);
  }

  #changed(): void {
    const place = this.#place;
    if (this.crossed.value) this.#canvas.redraw("top");
    this.#set("pixel", place === null ? UNKNOWN : `${Math.floor(place.slow)}, ${Math.floor(place.fast)}`);
    const geometry = this.#geometry.value;
    const at = place !== null && geometry !== null ? place : null;
    const number = (value: number, digits: number, unit: string): string => (Number.isFinite(value) ? `${value.toFixed(digits)}${unit}` : UNKNOWN);
    this.#set("d", at && geometry ? number(geometry.dAt(at.slow, at.fast), 3, " Å") : UNKNOWN);
    this.#set("q", at && geometry ? number(geometry.qAt(at.slow, at.fast), 4, " Å⁻¹") : UNKNOWN);
    this.#set("twoTheta", at && geometry ? number(degrees(geometry.twoThetaAt(at.slow, at.fast)), 3, "°") : UNKNOWN);
    this.#set("phi", at && geometry ? number(geometry.phiAt(at.slow, at.fast), 2, "°") : UNKNOWN);
    this.#set("distance", this.#distance());
    this.element.classList.toggle("measuring", this.measured.value !== null);
    this.#values(place);
  }

  #distance(): string {
    const now = this.measured.value;
    if (now === null || now.to === null) return UNKNOWN;
    const { from, to } = now;
    const pixels = Math.hypot(to.slow - from.slow, to.fast - from.fast);
    const geometry = this.#geometry.value;
    const words = [`${pixels.toFixed(1)} px`];
    if (geometry !== null) {
      const [a, b] = [geometry.laboratory(from.slow, from.fast), geometry.laboratory(to.slow, to.fast)];
      if (a !== null && b !== null) words.push(`${(1e3 * Math.hypot(b[0] - a[0], b[1] - a[1], b[2] - a[2])).toFixed(3)} mm`);
      const [d0, d1] = [geometry.dAt(from.slow, from.fast), geometry.dAt(to.slow, to.fast)];
      if (Number.isFinite(d0) && Number.isFinite(d1)) words.push(`d ${d0.toFixed(3)} → ${d1.toFixed(3)} Å (Δ ${Math.abs(d1 - d0).toFixed(3)})`);
    }
    return words.join(" · ");
  }

  /** Counts, background and significance: of the picture itself where it has pixels, else from the service. */
  #values(place: Place | null): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const image = this.#app.store.image.value;
    if (place === null || image === null) {
      for (const name of ["counts", "background", "significance", "mask"] as const) this.#set(name, UNKNOWN);
      return;
    }
    const slow = Math.floor(place.slow), fast = Math.floor(place.fast);
    const key = `${image.series} ${image.number} ${slow} ${fast}`;
    if (this.#pixel?.key === key) {
      this.#tellPixel(this.#pixel.pixel);
      return;
    }
    for (const name of ["background", "significance", "mask"] as const) this.#set(name, "…");
    const picture = this.#pictures.shown.value;
    const own = picture !== null && picture.head.factor === 1 && picture.head.layer === "counts" && (picture.head.frame ?? "detector") === "detector" && (picture.head.last ?? 1) === 1;
    if (own) void this.#read(slow - picture.head.region[0], fast - picture.head.region[2], key);
    else this.#set("counts", "…");
    this.#timer = setTimeout(() => void this.#ask(image, slow, fast, key), PAUSE);
  }

  async #read(row: number, column: number, key: string): Promise<void> {
    try {
      const [value] = await this.#pictures.read([row, row + 1], [column, column + 1]);
      if (this.#key0 === key && this.#pixel?.key !== key) this.#set("counts", short(value, 8));
    } catch {
      // the picture has gone
    }
  }

  get #key0(): string {
    const { image, cursor } = this.#app.store;
    return `${image.value?.series} ${image.value?.number} ${Math.floor(cursor.value?.slow ?? -1)} ${Math.floor(cursor.value?.fast ?? -1)}`;
  }

  async #ask(image: { series: string; number: number }, slow: number, fast: number, key: string): Promise<void> {
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const pixel = await this.#app.api.json<Pixel>(`images/${image.number}/pixel`, { query: { series: image.series, slow, fast }, signal: asking.signal });
      if (asking.signal.aborted) return;
      this.#pixel = { key, pixel };
      this.#tellPixel(pixel);
    } catch (error) {
      if (asking.signal.aborted) return;
      for (const name of ["counts", "background", "significance", "mask"] as const) if (this.#fields.get(name)?.textContent === "…") this.#set(name, UNKNOWN);
      if (error instanceof ApiError && (error.reason === "not_found" || error.reason === "busy")) return;
      this.#app.fail(error);
    }
  }

  #tellPixel(pixel: Pixel): void {
    this.#set("counts", short(pixel.counts, 8));
    this.#set("background", short(pixel.background, 4));
    this.#set("significance", pixel.significance === null ? UNKNOWN : `${short(pixel.significance, 3)} σ`);
    this.#set("mask", pixel.mask.length > 0 ? pixel.mask.join(", ") : text.image.usable);
    if (this.crossed.value) this.#speak();
  }

  /** For a screen reader, and not more often than it can read. */
  #speak(): void {
    clearTimeout(this.#spokenTimer);
    const rest = SPOKEN_EVERY - (performance.now() - this.#spokenAt);
    this.#spokenTimer = setTimeout(() => {
      this.#spokenAt = performance.now();
      const say = ([name, field]: [string, HTMLElement]): string => `${text.image.cursor[name as keyof typeof text.image.cursor]} ${field.textContent}`;
      this.#spoken.textContent = [...this.#fields].filter(([, field]) => field.textContent !== UNKNOWN).map(say).join(", ");
    }, Math.max(rest, 150));
  }

  #draw(context: CanvasRenderingContext2D, view: View): void {
    const cursor = this.#app.store.cursor.value;
    if (this.crossed.value && cursor !== null) {
      const at = view.detectorToScreen(cursor.slow, cursor.fast);
      if (at !== null) {
        context.beginPath();
        const gap = Math.max(view.zoom / 2 + 1, 5);
        for (const [x0, y0, x1, y1] of [[0, at.y, at.x - gap, at.y], [at.x + gap, at.y, view.width, at.y], [at.x, 0, at.x, at.y - gap], [at.x, at.y + gap, at.x, view.height]] as const) {
          context.moveTo(x0, y0);
          context.lineTo(x1, y1);
        }
        context.rect(at.x - gap, at.y - gap, 2 * gap, 2 * gap);
        twice(context, "#d2691e");
      }
    }
    const measured = this.measured.value;
    if (measured === null) return;
    const from = view.detectorToScreen(measured.from.slow, measured.from.fast);
    const to = measured.to && view.detectorToScreen(measured.to.slow, measured.to.fast);
    context.beginPath();
    for (const end of [from, to]) {
      if (end === null) continue;
      context.moveTo(end.x + 4, end.y);
      context.arc(end.x, end.y, 4, 0, 2 * Math.PI);
    }
    if (from !== null && to !== null) {
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
    }
    twice(context, "#0b6e4f");
  }
}

/** A line that is seen on any ground. */
function twice(context: CanvasRenderingContext2D, color: string): void {
  context.strokeStyle = "rgb(255 255 255 / 80%)";
  context.lineWidth = 3.4;
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = 1.4;
  context.stroke();
}

/** A place on the detector; null beyond its borders. */
function inside(place: Place | null, [rows, columns]: readonly [number, number]): Place | null {
  if (place === null || place.slow < 0 || place.fast < 0 || place.slow >= rows || place.fast >= columns) return null;
  return place;
}

/** Contrast: a small histogram over the colours, with a handle at each end. */
import { element, mark } from "../dom.ts";
import { short } from "../numbers.ts";
import { change, followAll } from "../signal.ts";
import type { Store } from "../store.ts";
import { text } from "../text.ts";
import type { ImageCanvas, Pointing } from "./canvas.ts";
import { colorsOf, css } from "./colors.ts";
import { diverges, niceAbove, partOf, scaleOf, stepOf, valueOf, type Contrast } from "./contrast.ts";
import type { Painter } from "./painter.ts";
import type { Picture, Pictures } from "./pictures.ts";

const WIDTH = 190;
const HEIGHT = 26;
const BINS = 95;
const STRIP = 7;
/** ms between two histograms of images that come */
const PAUSE = 400;

/** The values from the left to the right end of the bar, and how they are spread: by logarithm, but for what is about 0. */
export function axisOf(picture: Pick<Picture, "levels" | "contrast" | "head">): { range: Contrast; scale: "log" | "linear" } {
  const { levels, contrast, head } = picture;
  if (diverges(head.layer)) return { range: { low: 1.5 * contrast.low, high: 1.5 * contrast.high }, scale: "linear" };
  const low = Math.min(levels.min, contrast.low, 0);
  const high = Math.max(niceAbove(levels.max), 1.25 * contrast.high, low + 1e-6);
  return { range: { low, high }, scale: high - low > 8 ? "log" : "linear" };
}

export class ContrastBar {
  readonly element: HTMLElement;
  #store: Store;
  #pictures: Pictures;
  #painter: Painter;
  #canvas = element("canvas", { set: { width: String(WIDTH), height: String(HEIGHT), "aria-hidden": "true" } });
  #handles: [HTMLElement, HTMLElement];
  #counts: Uint32Array = new Uint32Array(BINS);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stops: (() => void)[];

  constructor(store: Store, canvas: ImageCanvas, pictures: Pictures, painter: Painter) {
    this.#store = store;
    this.#pictures = pictures;
    this.#painter = painter;
    this.#handles = [this.#handle("low"), this.#handle("high")];
    this.element = element("div", { class: "contrast-bar", role: "group", label: text.image.histogram }, this.#canvas, ...this.#handles);
    this.#stops = [
      pictures.shown.follow((now, before) => {
        const { head, contrast } = now ?? {};
        const other = head?.layer !== before?.head.layer || contrast?.low !== before?.contrast.low || contrast?.high !== before?.contrast.high;
        if (other) this.#draw();
        if (now?.head !== before?.head) this.#count();
      }),
      followAll([store.look] as never, () => this.#draw()),
      canvas.addTool(this.#drag()),
    ];
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    clearTimeout(this.#timer);
  }

  /** Shift and a drag over the image: to the right the colours end higher, downwards they begin higher. */
  #drag(): Parameters<ImageCanvas["addTool"]>[0] {
    let from: { x: number; y: number; contrast: Contrast } | null = null;
    return {
      priority: 80,
      hit: (at: Pointing) => (at.shift && at.button === 0 && this.#pictures.shown.value !== null ? "move" : null),
      down: (at) => {
        const picture = this.#pictures.shown.value;
        from = picture && { x: at.x, y: at.y, contrast: picture.contrast };
      },
      move: (at) => {
        if (from === null) return;
        const { low, high } = from.contrast;
        const width = (high - low) * Math.exp((at.x - from.x) / 120);
        const shifted = low + ((at.y - from.y) / 300) * (high - low);
        this.set({ low: Math.abs(at.y - from.y) < 8 ? low : shifted, high: low + width });
      },
      up: () => {
        from = null;
      },
      cancel: () => {
        if (from !== null) this.set(from.contrast);
        from = null;
      },
    };
  }

  /** Contrast by hand, in round numbers. */
  set({ low, high }: Contrast): void {
    if (![low, high].every(Number.isFinite)) return;
    const digits = (value: number): number => Number(value.toPrecision(4));
    const least = diverges(this.#store.look.value.layer) ? 1e-6 : 0;
    change(this.#store.look, { automatic: false, low: digits(low), high: digits(Math.max(high, least)) });
  }

  #handle(end: "low" | "high"): HTMLElement {
    const made = element("div", { class: `contrast-handle ${end}`, role: "slider", label: end === "low" ? text.image.lowHandle : text.image.highHandle, set: { tabindex: "0" } });
    const move = (part: number): void => {
      const picture = this.#pictures.shown.value;
      if (picture === null) return;
      const { range, scale } = axisOf(picture);
      const value = valueOf(Math.min(Math.max(part, 0), 1), range, scale), { low, high } = picture.contrast;
      if (diverges(picture.head.layer)) this.set({ low: -Math.abs(value), high: Math.abs(value) });
      else if (end === "low") this.set({ low: Math.min(value, high), high });
      else this.set({ low, high: Math.max(value, low) });
    };
    made.addEventListener("pointerdown", (event) => {
      made.setPointerCapture(event.pointerId);
      event.preventDefault();
      made.focus();
    });
    made.addEventListener("pointermove", (event) => {
      if (made.hasPointerCapture(event.pointerId)) move((event.clientX - this.#canvas.getBoundingClientRect().left) / WIDTH);
    });
    made.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 }[event.key];
      const picture = this.#pictures.shown.value;
      if (step === undefined || picture === null) return;
      event.preventDefault();
      const { range, scale } = axisOf(picture);
      move(partOf(picture.contrast[end], range, scale) + step);
    });
    return made;
  }

  #count(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#recount();
    }, PAUSE);
  }

  async #recount(): Promise<void> {
    const picture = this.#pictures.shown.value;
    if (picture === null || picture.head.layer === "mask") return;
    const { range, scale } = axisOf(picture);
    try {
      this.#counts = await this.#painter.histogram("sharp", range, scale, BINS);
      this.#draw();
    } catch {
      // the view has gone
    }
  }

  #draw(): void {
    const picture = this.#pictures.shown.value, look = this.#store.look.value;
    const ratio = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(WIDTH * ratio)) {
      this.#canvas.width = Math.round(WIDTH * ratio);
      this.#canvas.height = Math.round(HEIGHT * ratio);
    }
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    const seen = picture !== null && picture.head.layer !== "mask";
    for (const handle of this.#handles) handle.hidden = !seen;
    if (!seen) return;
    const { range, scale } = axisOf(picture), diverging = diverges(picture.head.layer);
    const table = colorsOf(diverging ? "diverging" : look.color, look.invert);
    const most = Math.log1p(this.#counts.reduce((a, b) => Math.max(a, b), 1));
    context.fillStyle = getComputedStyle(this.element).color;
    this.#counts.forEach((count, bin) => {
      const height = (Math.log1p(count) / most) * (HEIGHT - STRIP - 2);
      context.fillRect((bin * WIDTH) / BINS, HEIGHT - STRIP - height, WIDTH / BINS - 0.5, height);
    });
    for (let x = 0; x < WIDTH; x += 1) {
      const value = valueOf((x + 0.5) / WIDTH, range, scale);
      context.fillStyle = css(table[stepOf(value, picture.contrast, scaleOf(look), diverging)]!);
      context.fillRect(x, HEIGHT - STRIP + 1, 1.5, STRIP - 1);
    }
    (["low", "high"] as const).forEach((end, index) => {
      const handle = this.#handles[index]!, value = picture.contrast[end];
      handle.style.left = `${partOf(value, range, scale) * WIDTH}px`;
      mark(handle, "aria-valuenow", String(value));
      mark(handle, "aria-valuemin", String(range.low));
      mark(handle, "aria-valuemax", String(range.high));
      mark(handle, "aria-valuetext", short(value, 4));
    });
  }
}

/** The canvas on which the image and all that lies over it is drawn, and where the mouse, fingers and keys meet it.
 *
 * Other parts of the page take it from `imageCanvas`, add layers and tools, and ask to `redraw`. */
import { element } from "../dom.ts";
import { Signal } from "../signal.ts";
import type { Part, Place } from "../store.ts";
import { fitted, inMiddle, movedBy, resized, SAME, showing, View, zoomedAt, type Mapping } from "./view.ts";

/** Something that is drawn over the image, in CSS px. */
export interface CanvasLayer {
  /** Lower ones first. Below 50: drawn again by `redraw("still")`; from 50 on: by the cheaper `redraw("top")`.
   * The picture is 0, overlays of the detector 10 to 40, regions 60, the crosshair and measuring 80. */
  z: number;
  draw(context: CanvasRenderingContext2D, view: View): void;
}

/** A place at which a pointer is, or a press of it. */
export interface Pointing {
  /** CSS px of the canvas */
  x: number;
  y: number;
  /** shown px: see view.ts */
  shown: Place;
  /** px of the detector; null where there are none */
  detector: Place | null;
  /** 0 = left, 1 = middle, 2 = right; of a move, the one that was pressed */
  button: number;
  shift: boolean;
  ctrl: boolean;
  alt: boolean;
  kind: "mouse" | "pen" | "touch";
}

/** What a pointer does. The tool of the highest priority whose `hit` is not null has a press until it ends. */
export interface Tool {
  /** Regions 50, spots 30, the hand 0. */
  priority: number;
  /** CSS cursor where a press would be this tool's; null = not here. */
  hit(at: Pointing): string | null;
  down(at: Pointing): void;
  move?(at: Pointing): void;
  /** `moved`: the pointer went further than a click does */
  up?(at: Pointing, moved: boolean): void;
  /** Escape, or the pointer was lost: as if there had been no press. */
  cancel?(): void;
  /** A key pressed while the canvas has the focus; true = that was for this tool. */
  key?(event: KeyboardEvent): boolean;
  /** It takes clicks alone: when the pointer is moved, the press goes to the next tool. */
  clicks?: boolean;
}

/** The canvas of the page, as long as there is one. */
export const imageCanvas = new Signal<ImageCanvas | null>(null);

const TOP = 50;
const LINE = 17;
const CLICK = 4;
const WHEEL = 0.0016;
const EMPTY = new View({ width: 1, height: 1, ratio: 1, zoom: 1, slow0: 0, fast0: 0, shape: [1, 1], mapping: SAME });

export class ImageCanvas {
  readonly element: HTMLElement;
  readonly view = new Signal<View>(EMPTY);
  /** where a pointer hovers; null = it is not over the canvas */
  readonly hover = new Signal<Pointing | null>(null);
  /** whether the whole picture is shown, whatever the size of the canvas */
  readonly fits = new Signal(true);
  /** lines that stand below a snapshot */
  caption: () => string[] = () => [];
  #still = element("canvas", { class: "image-canvas", set: { "aria-hidden": "true" } });
  #top = element("canvas", { class: "image-canvas", set: { "aria-hidden": "true" } });
  #layers: CanvasLayer[] = [];
  #tools: Tool[] = [];
  #frame = 0;
  /** asked for before there was a picture */
  #wanted: Part | null = null;
  #stale = { still: false, top: false };
  #groundOf = { theme: "-", color: "" };
  #press: { tool: Tool; pointer: number; button: number; x: number; y: number; moved: boolean } | null = null;
  #fingers = new Map<number, { x: number; y: number }>();
  #watch: ResizeObserver;
  #held = { x: 0, y: 0 };
  #hand: Tool = {
    priority: 0,
    hit: () => "grab",
    down: (at) => {
      this.#held = at;
    },
    move: (at) => {
      this.panBy(at.x - this.#held.x, at.y - this.#held.y);
      this.#held = at;
    },
  };

  constructor(label: string) {
    this.element = element("div", { class: "image-area", label, role: "application", set: { tabindex: "0", "data-keys": "image" } });
    this.element.append(this.#still, this.#top);
    const on = <K extends keyof HTMLElementEventMap>(name: K, listener: (event: HTMLElementEventMap[K]) => void): void =>
      this.element.addEventListener(name, listener, { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#lost(event));
    on("lostpointercapture", (event) => this.#lost(event));
    on("pointerleave", () => {
      if (this.#press === null) this.hover.value = null;
    });
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event));
    on("keydown", (event) => this.#key(event));
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(this.element);
    this.addTool(this.#hand);
  }

  /** What comes back takes it away. */
  addLayer(layer: CanvasLayer): () => void {
    this.#layers = [...this.#layers, layer].sort((a, b) => a.z - b.z);
    this.redraw();
    return () => {
      this.#layers = this.#layers.filter((each) => each !== layer);
      this.redraw();
    };
  }

  addTool(tool: Tool): () => void {
    this.#tools = [...this.#tools, tool].sort((a, b) => b.priority - a.priority);
    return () => {
      if (this.#press?.tool === tool) this.#press = null;
      this.#tools = this.#tools.filter((each) => each !== tool);
    };
  }

  /** Draw with the next frame of the screen: all layers, those of z below 50, or those from there on. */
  redraw(which: "all" | "still" | "top" = "all"): void {
    if (which !== "top") this.#stale.still = true;
    if (which !== "still") this.#stale.top = true;
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  /** The picture has another size, or other panels. */
  setPicture(shape: readonly [number, number], mapping: Mapping = SAME): void {
    const before = this.view.value;
    if (before.shape[0] === shape[0] && before.shape[1] === shape[1] && before.mapping === mapping) return;
    const view = before.with({ shape, mapping });
    if (this.#wanted === null && (before.shape[0] === 1 || !inMiddle(view))) this.fits.value = true;
    this.#show(this.#wanted !== null ? this.#taken(view) : this.fits.value ? fitted(view) : view);
  }

  fit(): void {
    this.fits.value = true;
    this.#wanted = null;
    this.#show(fitted(this.view.value));
  }

  /** A part of the picture, as large as fits. */
  show(part: Part): void {
    this.fits.value = false;
    this.#wanted = part;
    this.#show(this.#taken(this.view.value));
  }

  /** Whether there are a picture and a place for it: before that a part cannot be shown. */
  get ready(): boolean {
    const { width, shape } = this.view.value;
    return width > 0 && shape[0] > 1;
  }

  /** The view with the part that is wanted, once there is a picture. */
  #taken(view: View): View {
    const part = this.#wanted;
    if (part === null || view.width === 0 || view.shape[0] <= 1) return view;
    this.#wanted = null;
    return showing(view, part);
  }

  /** By a factor; what is at x, y (the middle without them) stays there. */
  zoomBy(factor: number, x = this.view.value.width / 2, y = this.view.value.height / 2): void {
    this.fits.value = false;
    this.#show(zoomedAt(this.view.value, factor, x, y));
  }

  /** CSS px for a shown px. */
  zoomTo(zoom: number): void {
    this.zoomBy(zoom / this.view.value.zoom);
  }

  /** CSS px. */
  panBy(x: number, y: number): void {
    this.fits.value = false;
    this.#show(movedBy(this.view.value, x, y));
  }

  /** The cursor shown, after a tool changed what it would do. */
  retool(): void {
    const at = this.hover.value;
    if (at !== null && this.#press === null) this.element.style.cursor = this.#toolAt(at).cursor;
  }

  /** All that is drawn, with lines of a caption below it, as a PNG. */
  async snapshot(): Promise<Blob> {
    this.#stale = { still: true, top: true };
    this.#draw();
    const lines = this.caption(), { ratio } = this.view.value;
    const line = LINE * ratio;
    const made = document.createElement("canvas");
    made.width = this.#still.width;
    made.height = this.#still.height + Math.ceil(lines.length > 0 ? (lines.length + 0.6) * line : 0);
    const context = made.getContext("2d");
    if (context === null) throw new Error("this browser has no memory for a picture");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, made.width, made.height);
    context.drawImage(this.#still, 0, 0);
    context.drawImage(this.#top, 0, 0);
    context.fillStyle = "#1b2028";
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    lines.forEach((words, at) => context.fillText(words, 8 * ratio, this.#still.height + (at + 0.8) * line, made.width - 16 * ratio));
    return new Promise((resolve, reject) => {
      made.toBlob((blob) => (blob === null ? reject(new Error("this browser cannot make a PNG")) : resolve(blob)), "image/png");
    });
  }

  /** See whether the canvas has another size. */
  resize(): void {
    this.#resize();
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#watch.disconnect();
    this.element.remove();
  }

  #show(view: View): void {
    this.view.value = view;
    this.redraw();
  }

  #resize(): void {
    const width = this.element.clientWidth, height = this.element.clientHeight, ratio = window.devicePixelRatio || 1;
    if (width === 0 || height === 0) return;
    const before = this.view.value;
    if (before.width === width && before.height === height && before.ratio === ratio) return;
    const view = resized(before, width, height, ratio);
    for (const canvas of [this.#still, this.#top]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.#show(this.fits.value ? fitted(view) : this.#taken(view));
    this.#draw();
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { still, top } = this.#stale;
    this.#stale = { still: false, top: false };
    if (still) this.#drawOn(this.#still, this.#layers.filter((layer) => layer.z < TOP));
    if (top) this.#drawOn(this.#top, this.#layers.filter((layer) => layer.z >= TOP));
  }

  /** The colour about the picture. */
  get #ground(): string {
    const theme = document.documentElement.dataset.theme ?? "";
    if (this.#groundOf.theme !== theme) this.#groundOf = { theme, color: getComputedStyle(this.element).backgroundColor };
    return this.#groundOf.color;
  }

  #drawOn(canvas: HTMLCanvasElement, layers: readonly CanvasLayer[]): void {
    // nothing shines through the picture: what lies below it need not be drawn with each of them
    const opaque = canvas === this.#still;
    const context = canvas.getContext("2d", { alpha: !opaque });
    if (context === null) return;
    const view = this.view.value;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (opaque) {
      context.fillStyle = this.#ground;
      context.fillRect(0, 0, canvas.width, canvas.height);
    } else {
      context.clearRect(0, 0, canvas.width, canvas.height);
    }
    for (const layer of layers) {
      context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
      context.save();
      layer.draw(context, view);
      context.restore();
    }
  }

  #pointing(event: PointerEvent | WheelEvent, button: number, at?: { x: number; y: number }): Pointing {
    const box = this.element.getBoundingClientRect();
    const x = at?.x ?? event.clientX - box.left, y = at?.y ?? event.clientY - box.top;
    const view = this.view.value;
    const kind = "pointerType" in event && (event.pointerType === "touch" || event.pointerType === "pen") ? event.pointerType : "mouse";
    return {
      x, y, shown: view.fromScreen(x, y), detector: view.screenToDetector(x, y), button, kind,
      shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey, alt: event.altKey,
    };
  }

  #toolAt(at: Pointing, clicks = true): { tool: Tool; cursor: string } {
    // the middle button is always the hand's
    for (const tool of at.button === 1 ? [this.#hand] : this.#tools) {
      if (!clicks && tool.clicks === true) continue;
      const cursor = tool.hit(at);
      if (cursor !== null) return { tool, cursor };
    }
    return { tool: this.#hand, cursor: "grab" };
  }

  #down(event: PointerEvent): void {
    this.element.focus({ preventScroll: true });
    const at = this.#pointing(event, event.button);
    if (at.kind === "touch") {
      this.#fingers.set(event.pointerId, { x: at.x, y: at.y });
      if (this.#fingers.size === 2) this.#cancel(); // two fingers zoom
    }
    if (this.#press !== null || this.#fingers.size > 1) return;
    event.preventDefault();
    const { tool, cursor } = this.#toolAt(at);
    this.element.setPointerCapture(event.pointerId);
    this.#press = { tool, pointer: event.pointerId, button: event.button, x: at.x, y: at.y, moved: false };
    this.element.style.cursor = cursor === "grab" ? "grabbing" : cursor;
    tool.down(at);
  }

  #move(event: PointerEvent): void {
    if (this.#fingers.size === 2 && this.#fingers.has(event.pointerId)) {
      this.#pinch(event);
      return;
    }
    const press = this.#press;
    const at = this.#pointing(event, press?.button ?? 0);
    if (press === null) {
      this.element.style.cursor = this.#toolAt(at).cursor;
    } else if (press.pointer === event.pointerId) {
      if (!press.moved && Math.hypot(at.x - press.x, at.y - press.y) < CLICK) return;
      if (!press.moved && press.tool.clicks === true) {
        press.tool = this.#toolAt({ ...at, x: press.x, y: press.y }, false).tool;
        press.tool.down(this.#pointing(event, press.button, press));
      }
      press.moved = true;
      press.tool.move?.(at);
    }
    this.hover.value = this.#pointing(event, press?.button ?? 0);
  }

  #up(event: PointerEvent): void {
    this.#fingers.delete(event.pointerId);
    const press = this.#press;
    if (press === null || press.pointer !== event.pointerId) return;
    this.#press = null;
    const at = this.#pointing(event, press.button);
    press.tool.up?.(at, press.moved);
    this.element.style.cursor = this.#toolAt({ ...at, button: 0 }).cursor;
  }

  #lost(event: PointerEvent): void {
    this.#fingers.delete(event.pointerId);
    if (this.#press?.pointer === event.pointerId) this.#cancel();
  }

  #cancel(): void {
    const press = this.#press;
    this.#press = null;
    press?.tool.cancel?.();
  }

  #pinch(event: PointerEvent): void {
    const [other] = [...this.#fingers].filter(([pointer]) => pointer !== event.pointerId).map(([, place]) => place);
    const before = this.#fingers.get(event.pointerId);
    if (other === undefined || before === undefined) return;
    const { x, y } = this.#pointing(event, 0);
    this.#fingers.set(event.pointerId, { x, y });
    const factor = Math.hypot(x - other.x, y - other.y) / Math.max(Math.hypot(before.x - other.x, before.y - other.y), 1);
    this.panBy((x - before.x) / 2, (y - before.y) / 2);
    this.zoomBy(factor, (x + other.x) / 2, (y + other.y) / 2);
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    const at = this.#pointing(event, 0);
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : event.deltaMode === WheelEvent.DOM_DELTA_PAGE ? 400 : 1;
    // with Ctrl it is a pinch of a touch pad, which tells far smaller steps
    const delta = event.deltaY * lines * (event.ctrlKey ? 6 : 1);
    this.zoomBy(Math.exp(-WHEEL * Math.min(Math.max(delta, -600), 600)), at.x, at.y);
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#press !== null) {
      this.#cancel();
      event.preventDefault();
      return;
    }
    for (const tool of this.#tools) {
      if (tool.key?.(event) === true) {
        event.preventDefault();
        return;
      }
    }
  }
}

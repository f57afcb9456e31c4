/** Regions on the image: drawn, taken hold of, dragged, moved by keys. */
import type { App } from "../app.ts";
import type { CanvasLayer, ImageCanvas, Pointing, Tool } from "../image/canvas.ts";
import { Geometry } from "../image/geometry.ts";
import type { Point } from "../image/view.ts";
import { followAll, Signal } from "../signal.ts";
import type { Place } from "../store.ts";
import { text } from "../text.ts";
import type { Book } from "./book.ts";
import { drawnOf, drawScene, drawWords } from "./draw.ts";
import { hidden } from "./looks.ts";
import { LEAST_CORNERS, MOST_CORNERS, polygonOf, withoutCorner } from "./polygon.ts";
import { freeName, MOST_REGIONS, named, type Region } from "./region.ts";
import { cursorOf, dragged, hitOf, made, nudged, type Hit } from "./shapes.ts";
import { described } from "./words.ts";

export type Mode = "select" | "box" | "circle" | "azimuthal" | "polygon";

/** px of the screen: how near to its first corner a polygon is closed */
const NEAR = 8;
const STEPS: Readonly<Record<string, readonly [right: number, down: number]>> = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
const FAR = 10;

interface Drag {
  kind: "drag" | "draw";
  name: string;
  handle: string;
  from: Place;
  start: Region | null;
}

export class Editor {
  readonly mode = new Signal<Mode>("select");
  readonly geometry = new Signal<Geometry | null>(null);
  #app: App;
  #book: Book;
  #canvas: ImageCanvas | null = null;
  #drag: Drag | null = null;
  #draft: Region | null = null;
  #pointer: Point | null = null;
  #corners: Place[] = [];
  /** of which `geometry` was made */
  #located = "null";

  constructor(app: App, book: Book) {
    this.#app = app;
    this.#book = book;
    const { about, status } = app.store;
    followAll([about, status] as never, () => this.#locate(), true);
    this.mode.follow((mode) => {
      if (mode !== "polygon") this.#corners = [];
      this.#canvas?.retool();
      this.#redraw();
    });
  }

  get editable(): boolean {
    return this.#app.store.session.value.role === "control";
  }

  get selected(): Region | null {
    return named(this.#book.regions.value, this.#app.store.region.value);
  }

  /** The geometry of the image that is shown, or of the newest series. */
  #locate(): void {
    const { about, status } = this.#app.store;
    const told = about.value === null ? status.value?.series?.geometry : about.value.geometry;
    const key = JSON.stringify(told ?? null);
    if (key === this.#located) return;
    this.#located = key;
    this.geometry.value = Geometry.of(told);
  }

  /** Draw on a canvas and take presses of it; what comes back ends that. */
  attach(canvas: ImageCanvas): () => void {
    this.#canvas = canvas;
    const store = this.#app.store;
    const stops = [
      canvas.addLayer(this.#layer), canvas.addTool(this.#tool), canvas.addTool(this.#insides),
      followAll(
        [this.#book.regions, this.#book.conflict, store.region, store.overlays, hidden, this.geometry, store.session] as never,
        () => this.#redraw(),
      ),
      canvas.hover.follow((at) => {
        if (this.mode.value !== "polygon" || this.#corners.length === 0) return;
        this.#pointer = at;
        this.#redraw();
      }),
      this.#unselecting(canvas),
    ];
    return () => {
      this.#drop();
      for (const stop of stops) stop();
      this.#canvas = null;
    };
  }

  /** A click beside all regions ends the selection. */
  #unselecting(canvas: ImageCanvas): () => void {
    let pressed: Pointing | null = null;
    const down = (): void => {
      pressed = canvas.hover.value;
    };
    const click = (event: MouseEvent): void => {
      const box = canvas.element.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const at = pressed;
      pressed = null;
      if (this.mode.value !== "select" || at === null || Math.hypot(at.x - x, at.y - y) > 3) return;
      if (this.#hit({ ...at, x, y, detector: canvas.view.value.screenToDetector(x, y) }) === null) this.#app.store.region.value = null;
    };
    canvas.element.addEventListener("pointerdown", down);
    canvas.element.addEventListener("click", click);
    return () => {
      canvas.element.removeEventListener("pointerdown", down);
      canvas.element.removeEventListener("click", click);
    };
  }

  #redraw(): void {
    this.#canvas?.redraw("top");
  }

  #layer: CanvasLayer = {
    z: 60,
    draw: (context, view) => {
      if (!this.#app.store.overlays.value.regions && this.#draft === null) return;
      const conflict = this.#book.conflict.value;
      drawScene(context, view, {
        regions: this.#book.regions.value,
        draft: this.#draft ?? this.#unfinished(),
        ghosts: conflict === null ? [] : conflict.changes.flatMap(({ after }) => (after === null ? [] : [after])),
        selected: this.#draft?.name ?? this.#app.store.region.value,
        geometry: this.geometry.value,
        editable: this.editable,
        names: true,
      });
      const draft = this.#draft;
      if (draft !== null && this.#pointer !== null) drawWords(context, view, described(draft), this.#pointer);
      else if (this.#corners.length > 0 && this.#pointer !== null) drawWords(context, view, text.regions.corners(this.#corners.length), this.#pointer);
    },
  };

  /** The polygon as far as it was drawn, and the pointer as its next corner. */
  #unfinished(): Region | null {
    if (this.#corners.length === 0) return null;
    const at = this.#pointer && this.#canvas?.view.value.screenToDetector(this.#pointer.x, this.#pointer.y);
    return polygonOf(this.#newName("polygon"), at ? [...this.#corners, at] : this.#corners);
  }

  #newName(mode: Mode): string {
    return freeName(this.#book.regions.value, text.regions.stems[mode === "select" ? "box" : mode]);
  }

  #hit(at: Pointing): Hit | null {
    const canvas = this.#canvas;
    if (canvas === null || !this.#app.store.overlays.value.regions) return null;
    const geometry = this.geometry.value;
    const shown = this.#book.regions.value.filter(({ name }) => !hidden.value.has(name));
    const all = shown.map((region) => {
      const drawn = drawnOf(region, geometry);
      return this.editable ? drawn : { ...drawn, handles: [] };
    });
    const toScreen = (slow: number, fast: number): Point | null => canvas.view.value.detectorToScreen(slow, fast);
    return hitOf(all, this.#app.store.region.value, at, at.detector, toScreen, geometry);
  }

  /** Borders, handles, and all that is drawn. */
  #tool: Tool = {
    priority: 50,
    hit: (at) => {
      if (this.mode.value !== "select") return at.button === 0 ? "crosshair" : null;
      const hit = this.#hit(at);
      if (hit === null || hit.inside) return null;
      if (at.button === 2) return hit.handle.startsWith("corner") ? "default" : null;
      return this.editable ? cursorOf(hit.along) : "pointer";
    },
    down: (at) => this.#down(at),
    move: (at) => this.#move(at),
    up: (at, moved) => this.#up(at, moved),
    cancel: () => this.#drop(),
    key: (event) => this.#key(event),
  };

  /** What lies inside of a region: spots there come before it. */
  #insides: Tool = {
    priority: 20,
    hit: (at) => {
      const hit = this.mode.value === "select" && at.button === 0 ? this.#hit(at) : null;
      if (hit === null) return null;
      return hit.name === this.#app.store.region.value && this.editable ? "move" : "pointer";
    },
    down: (at) => this.#down(at),
    move: (at) => {
      const before = this.#pointer;
      if (this.#drag !== null) this.#move(at);
      else if (before !== null) {
        // of a region that is not selected: the hand
        this.#canvas?.panBy(at.x - before.x, at.y - before.y);
        this.#pointer = at;
      }
    },
    up: (at, moved) => {
      if (this.#drag === null && !moved) this.#app.store.region.value = this.#hit(at)?.name ?? null;
      this.#up(at, moved);
    },
    cancel: () => this.#drop(),
  };

  /** Whether there is a picture: before, the canvas has no places of the detector. */
  get #pictured(): boolean {
    const [rows, columns] = this.#canvas?.view.value.shape ?? [1, 1];
    return rows * columns > 1;
  }

  #down(at: Pointing): void {
    this.#pointer = at;
    if (this.mode.value !== "select" && !this.#pictured) {
      this.#app.tell(text.regions.noImage);
      return;
    }
    if (this.mode.value === "polygon") return;
    if (this.mode.value !== "select") {
      if (at.detector === null) return;
      this.#drag = { kind: "draw", name: this.#newName(this.mode.value), handle: "", from: at.detector, start: null };
      this.#book.holding = true;
      return;
    }
    const hit = this.#hit(at);
    if (hit === null) return;
    const own = hit.name === this.#app.store.region.value;
    if (hit.inside && !own) return;
    this.#app.store.region.value = hit.name;
    const start = named(this.#book.regions.value, hit.name);
    if (start === null || at.detector === null || !this.editable) return;
    if (hit.handle.startsWith("corner") && (at.button === 2 || at.ctrl)) {
      this.#removeCorner(start, Number(hit.handle.split(" ")[1]));
      return;
    }
    this.#drag = { kind: "drag", name: hit.name, handle: hit.handle, from: at.detector, start };
    this.#book.holding = true;
  }

  #move(at: Pointing): void {
    this.#pointer = at;
    const drag = this.#drag;
    if (drag === null || at.detector === null) return;
    const mode = this.mode.value;
    const next = drag.kind === "drag" && drag.start !== null
      ? dragged(drag.start, drag.handle, drag.from, at.detector, this.geometry.value)
      : mode === "select" ? null : made(mode, drag.name, drag.from, at.detector, this.geometry.value);
    // where it cannot go it stays
    if (next !== null) this.#draft = next;
    this.#redraw();
  }

  #up(at: Pointing, moved: boolean): void {
    if (this.mode.value === "polygon") {
      if (!moved && at.button === 0) this.#addCorner(at);
      return;
    }
    if (moved && this.#drag !== null) this.#move(at);
    const [drag, draft] = [this.#drag, this.#draft];
    this.#drop();
    if (drag === null) return;
    if (drag.kind === "draw" && draft === null && !moved) this.#app.tell(text.regions.dragToDraw);
    if (draft === null) return;
    if (drag.kind === "draw") this.add(draft);
    else this.#replace(draft);
  }

  /** End what goes on without a trace. */
  #drop(): void {
    this.#drag = null;
    this.#draft = null;
    this.#pointer = null;
    this.#book.holding = false;
    this.#redraw();
  }

  #addCorner(at: Pointing): void {
    const canvas = this.#canvas;
    if (canvas === null || at.detector === null || !this.#pictured) return;
    const first = this.#corners[0];
    const screen = first && canvas.view.value.detectorToScreen(first.slow, first.fast);
    const last = this.#corners.at(-1);
    const lastScreen = last && canvas.view.value.detectorToScreen(last.slow, last.fast);
    const near = (point: Point | null | undefined, by: number): boolean => !!point && Math.hypot(point.x - at.x, point.y - at.y) <= by;
    // on the first corner, or twice at one place
    if (this.#corners.length >= LEAST_CORNERS && (near(screen, NEAR) || near(lastScreen, 3))) {
      this.#close();
      return;
    }
    if (!near(lastScreen, 3)) this.#corners.push(at.detector);
    this.#pointer = at;
    if (this.#corners.length === MOST_CORNERS) this.#close();
    this.#redraw();
  }

  #close(): void {
    const corners = this.#corners;
    if (corners.length < LEAST_CORNERS) {
      this.#app.tell(text.regions.moreCorners);
      return;
    }
    this.#corners = [];
    this.#pointer = null;
    this.add(polygonOf(this.#newName("polygon"), corners));
  }

  #removeCorner(region: Region, number: number): void {
    const less = region.type === "polygon" ? withoutCorner(region, number) : null;
    if (less === null) this.#app.tell(text.regions.leastCorners);
    else this.#replace(less);
  }

  #replace(region: Region): void {
    this.#book.edit(this.#book.regions.value.map((each) => (each.name === region.name ? region : each)));
  }

  /** Put a new region, and select it. */
  add(region: Region): void {
    this.mode.value = "select";
    const regions = this.#book.regions.value;
    if (regions.length >= MOST_REGIONS) {
      this.#app.tell(text.regions.tooMany(MOST_REGIONS), "warning");
      return;
    }
    this.#app.store.region.value = region.name;
    this.#book.edit([...regions, region]);
    this.#canvas?.element.focus({ preventScroll: true });
  }

  /** A region of a type in the middle of what is seen, for those who do not draw. */
  addInView(mode: Exclude<Mode, "select">): void {
    const view = this.#canvas?.view.value;
    const shape = this.#app.store.about.value?.shape ?? this.#app.store.status.value?.series?.shape;
    if (view === undefined || shape === undefined) {
      this.#app.tell(text.regions.noImage);
      return;
    }
    const { slow0, slow1, fast0, fast1 } = view.part;
    const clamp = (low: number, high: number, size: number): [number, number] => [Math.max(low, 0), Math.min(high, size)];
    const [slow, fast] = [clamp(slow0, slow1, shape[0]), clamp(fast0, fast1, shape[1])];
    const at = (down: number, right: number): Place => ({
      slow: Math.round(slow[0] + down * (slow[1] - slow[0])), fast: Math.round(fast[0] + right * (fast[1] - fast[0])),
    });
    const name = this.#newName(mode);
    const region = mode === "polygon"
      ? polygonOf(name, [at(0.4, 0.5), at(0.6, 0.6), at(0.6, 0.4)])
      : made(mode, name, at(0.45, mode === "circle" ? 0.5 : 0.45), at(mode === "circle" ? 0.5 : 0.6, 0.55), this.geometry.value);
    if (region === null) this.#app.tell(this.azimuthalTrouble ?? text.regions.noImage);
    else this.add(region);
  }

  /** Why no ring can be drawn; null = it can. */
  get azimuthalTrouble(): string | null {
    const geometry = this.geometry.value;
    if (geometry === null) return text.regions.noGeometry;
    return geometry.wavelength === null ? text.regions.noWavelength : null;
  }

  /** Take up a tool. */
  choose(mode: Mode): void {
    if (!this.editable && mode !== "select") {
      this.#app.tell(text.regions.viewer);
      return;
    }
    const trouble = mode === "azimuthal" ? this.azimuthalTrouble : null;
    if (trouble !== null) this.#app.tell(trouble, "warning");
    else this.mode.value = mode;
  }

  /** Move the selected region by px, or what stands for one. */
  nudge(right: number, down: number): void {
    const region = this.selected;
    if (region === null || !this.editable) return;
    const next = nudged(region, right, down, this.geometry.value);
    if (next === null) this.#app.tell(text.regions.cannotMove(region.name));
    else this.#book.edit(this.#book.regions.value.map((each) => (each.name === region.name ? next : each)), `nudge ${region.name}`);
  }

  remove(): void {
    const region = this.selected;
    if (region === null || !this.editable) return;
    this.#app.store.region.value = null;
    this.#book.edit(this.#book.regions.value.filter((each) => each !== region));
    this.#app.tell(text.regions.removed(region.name));
  }

  /** A copy of the selected region beside it. */
  duplicate(): void {
    const region = this.selected;
    if (region === null || !this.editable) return;
    const beside = nudged(region, FAR, FAR, this.geometry.value) ?? region;
    this.add({ ...beside, name: freeName(this.#book.regions.value, region.name) });
  }

  /** End what goes on: a drag, a drawing, a tool, the selection. */
  escape(): void {
    if (this.#drag !== null) this.#drop();
    else if (this.#corners.length > 0) this.#corners = [];
    else if (this.mode.value !== "select") this.mode.value = "select";
    else this.#app.store.region.value = null;
    this.#redraw();
  }

  #key(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (this.#corners.length > 0) {
      if (event.key === "Enter") this.#close();
      else if (event.key === "Backspace") this.#corners.pop();
      else if (event.key === "Escape") this.escape();
      else return false;
      this.#redraw();
      return true;
    }
    const mode = this.mode.value;
    if (event.key === "Enter" && mode !== "select" && this.#drag === null) {
      this.addInView(mode);
      return true;
    }
    const step = STEPS[event.key];
    if (step !== undefined && this.selected !== null && this.editable) {
      const far = event.shiftKey ? FAR : 1;
      this.nudge(step[0] * far, step[1] * far);
      return true;
    }
    if (event.key === "Escape" && (this.mode.value !== "select" || this.selected !== null)) {
      this.escape();
      return true;
    }
    return false;
  }
}

/** A heat map on a canvas of its own: cells, axes, a bar of the colours, marks and a cursor, by mouse and keyboard. */
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { colorsOf } from "../image/colors.ts";
import { short, ticks } from "../numbers.ts";
import { color } from "../theme.ts";
import { listen } from "./keyboard.ts";
import { cellAt, cornerOf, framed, neighbour, painted, placeOn, type Cell, type Frame, type MapAxis } from "./map_math.ts";

export interface HeatState {
  z: readonly (readonly (number | null)[])[];
  x: MapAxis;
  y: MapAxis;
  /** names of the axes, with units */
  wordsX: string;
  wordsY: string;
  unit: string;
  colors: string;
  low: number;
  high: number;
  log?: boolean;
  /** words of a tick, where it is not the position itself */
  tickX?(value: number): string;
  tickY?(value: number): string;
  best?: Cell | null;
  /** centre of mass, in the units of the axes */
  centre?: { x: number; y: number } | null;
  shown?: Cell | null;
}

export interface HeatActions {
  label: string;
  /** the cursor is on another cell */
  point(cell: Cell | null): void;
  choose?(cell: Cell): void;
  log?(): void;
}

const BAR = 12;

export class Heat {
  readonly element: HTMLElement;
  #canvas = element("canvas", { set: { "aria-hidden": "true" } });
  #cells = document.createElement("canvas");
  #state: HeatState | null = null;
  #drawn: HeatState | null = null;
  #frame: Frame | null = null;
  #cursor: Cell | null = null;
  #actions: HeatActions;
  #waiting = 0;
  #watch = new ResizeObserver(() => this.refresh());
  #stop: () => void;

  constructor(app: App, actions: HeatActions) {
    this.#actions = actions;
    this.element = element("div", { class: "fill plots-heat", role: "group", label: actions.label }, this.#canvas);
    listen(this.element, {
      "plot-left": () => this.#move(-1, 0), "plot-right": () => this.#move(1, 0),
      "plot-up": () => this.#move(0, -1), "plot-down": () => this.#move(0, 1),
      "plot-first": () => this.#goTo({ row: 0, column: 0 }),
      "plot-last": () => this.#state?.best && this.#goTo(this.#state.best),
      "plot-choose": () => this.#cursor !== null && this.#actions.choose?.(this.#cursor),
      "plot-log": () => this.#actions.log?.(),
    });
    this.#canvas.addEventListener("pointermove", (event) => this.#goTo(this.#under(event)));
    this.#canvas.addEventListener("pointerleave", () => {
      if (document.activeElement !== this.element) this.#goTo(null);
    });
    this.#canvas.addEventListener("click", (event) => {
      this.element.focus({ preventScroll: true });
      const cell = this.#under(event);
      if (cell !== null) this.#actions.choose?.(cell);
    });
    this.#watch.observe(this.element);
    this.#stop = app.store.theme.follow(() => {
      this.#drawn = null;
      this.refresh();
    });
  }

  get cursor(): Cell | null {
    return this.#cursor;
  }

  /** The middle of a cell, px of the element: for tests and for what is drawn over it. */
  middleOf(cell: Cell): { left: number; top: number } | null {
    if (this.#frame === null) return null;
    const { left, top } = cornerOf(this.#frame, cell);
    return { left: left + this.#frame.width / 2, top: top + this.#frame.height / 2 };
  }

  set(state: HeatState | null): void {
    this.#state = state;
    this.refresh();
  }

  refresh(): void {
    if (this.#waiting !== 0) return;
    this.#waiting = requestAnimationFrame(() => {
      this.#waiting = 0;
      this.#draw();
    });
  }

  dispose(): void {
    cancelAnimationFrame(this.#waiting);
    this.#watch.disconnect();
    this.#stop();
    this.element.remove();
  }

  #under(event: MouseEvent): Cell | null {
    const at = this.#canvas.getBoundingClientRect();
    return this.#frame === null ? null : cellAt(this.#frame, event.clientX - at.left, event.clientY - at.top);
  }

  #goTo(cell: Cell | null): void {
    if (cell?.row === this.#cursor?.row && cell?.column === this.#cursor?.column) return;
    this.#cursor = cell;
    this.#actions.point(cell);
    this.refresh();
  }

  #move(across: number, down: number): void {
    if (this.#frame === null) return;
    const from = this.#cursor ?? this.#state?.shown ?? this.#state?.best ?? { row: 0, column: 0 };
    this.#goTo(this.#cursor === null ? from : neighbour(this.#frame, from, across, down));
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width < 40 || height < 40) return;
    const ratio = devicePixelRatio;
    const canvas = this.#canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const state = this.#state;
    this.#frame = null;
    if (state === null || state.x.count === 0 || state.y.count === 0) return;
    const room = { left: 62, top: 10, width: width - 62 - 84, height: height - 10 - 44 };
    if (room.width < 10 || room.height < 10) return;
    const frame = framed(state.x, state.y, room);
    this.#frame = frame;
    this.#drawCells(context, state, frame);
    this.#drawAxes(context, state, frame);
    this.#drawBar(context, state, frame);
    this.#drawMarks(context, state, frame);
  }

  #drawCells(context: CanvasRenderingContext2D, state: HeatState, frame: Frame): void {
    const [wide, high] = [frame.width * state.x.count, frame.height * state.y.count];
    context.fillStyle = hatched(context);
    context.fillRect(frame.left, frame.top, wide, high);
    const before = this.#drawn;
    const same = before !== null && before.z === state.z && before.colors === state.colors && before.low === state.low &&
      before.high === state.high && before.log === state.log;
    if (!same) {
      this.#cells.width = state.x.count;
      this.#cells.height = state.y.count;
      const pixels = painted(state.z, state.x, state.y, colorsOf(state.colors), state.low, state.high, state.log);
      const image = new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer), state.x.count, state.y.count);
      this.#cells.getContext("2d")?.putImageData(image, 0, 0);
      this.#drawn = state;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#cells, frame.left, frame.top, wide, high);
  }

  #drawAxes(context: CanvasRenderingContext2D, state: HeatState, frame: Frame): void {
    const [soft, edge] = [color("ink-soft"), color("edge")];
    const [wide, high] = [frame.width * state.x.count, frame.height * state.y.count];
    context.strokeStyle = edge;
    context.lineWidth = 1;
    context.strokeRect(frame.left - 0.5, frame.top - 0.5, wide + 1, high + 1);
    context.fillStyle = soft;
    context.font = fontOf(this.element, 11.5);
    context.textAlign = "center";
    context.textBaseline = "top";
    const bottom = frame.top + high;
    const along = (axis: MapAxis): [number, number] => [axis.from, axis.from + axis.step * axis.count];
    context.beginPath();
    for (const tick of ticks(...along(state.x), Math.max(wide / 80, 1))) {
      const at = Math.round(placeOn(frame, tick, 0).left) + 0.5;
      context.moveTo(at, bottom);
      context.lineTo(at, bottom + 4);
      context.fillText((state.tickX ?? short)(tick), at, bottom + 6);
    }
    context.fillText(state.wordsX, frame.left + wide / 2, bottom + 23);
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks(...along(state.y), Math.max(high / 50, 1))) {
      const at = Math.round(placeOn(frame, 0, tick).top) + 0.5;
      context.moveTo(frame.left - 4, at);
      context.lineTo(frame.left, at);
      context.fillText((state.tickY ?? short)(tick), frame.left - 7, at);
    }
    context.stroke();
    context.save();
    context.translate(frame.left - 52, frame.top + high / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(state.wordsY, 0, 0);
    context.restore();
  }

  #drawBar(context: CanvasRenderingContext2D, state: HeatState, frame: Frame): void {
    const left = frame.left + frame.width * state.x.count + 14;
    const high = Math.max(frame.height * state.y.count, 60);
    const table = colorsOf(state.colors);
    for (let step = 0; step < high; step += 1) {
      const value = table[Math.round(((high - 1 - step) / (high - 1)) * (table.length - 1))] ?? 0;
      context.fillStyle = `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
      context.fillRect(left, frame.top + step, BAR, 1.5);
    }
    context.strokeStyle = color("edge");
    context.strokeRect(left - 0.5, frame.top - 0.5, BAR + 1, high + 1);
    context.fillStyle = color("ink-soft");
    context.textAlign = "left";
    context.textBaseline = "middle";
    const log = state.log === true && state.low > 0 && state.high > state.low;
    const [from, to] = log ? [Math.log10(state.low), Math.log10(state.high)] : [state.low, state.high];
    const values = to > from ? ticks(from, to, Math.max(high / 45, 2)) : [from];
    for (const value of values) {
      const share = to > from ? (value - from) / (to - from) : 0.5;
      const at = frame.top + high * (1 - share);
      context.fillRect(left + BAR, Math.round(at), 3, 1);
      context.fillText(short(log ? Number((10 ** value).toPrecision(3)) : value), left + BAR + 6, at);
    }
    if (state.unit !== "") {
      context.textBaseline = "top";
      context.fillText(state.unit, left, frame.top + high + 6);
    }
  }

  #drawMarks(context: CanvasRenderingContext2D, state: HeatState, frame: Frame): void {
    const outline = (cell: Cell, stroke: string, width: number, grow: number): void => {
      const { left, top } = cornerOf(frame, cell);
      // two lines, so that it is seen on every colour of the map
      for (const [style, wide] of [["#000", width + 2], [stroke, width]] as const) {
        context.strokeStyle = style;
        context.lineWidth = wide;
        context.strokeRect(left - grow, top - grow, frame.width + 2 * grow, frame.height + 2 * grow);
      }
    };
    const { best, centre, shown } = state;
    if (shown) outline(shown, "#7db0f8", 2, 1.5);
    if (best) outline(best, "#fff", 1.5, 1);
    if (centre) {
      const { left, top } = placeOn(frame, centre.x, centre.y);
      for (const [style, wide] of [["#000", 4], ["#fff", 1.75]] as const) {
        context.strokeStyle = style;
        context.lineWidth = wide;
        context.beginPath();
        for (const [dx, dy] of [[6, 0], [0, 6]] as const) {
          context.moveTo(left - dx, top - dy);
          context.lineTo(left + dx, top + dy);
        }
        context.stroke();
      }
    }
    if (this.#cursor !== null && this.#cursor.row < state.y.count && this.#cursor.column < state.x.count) {
      outline(this.#cursor, "#ffd84d", 1.5, 0.5);
    }
  }
}

export function fontOf(target: HTMLElement, size: number): string {
  return `${size}px ${getComputedStyle(target).fontFamily}`;
}

/** What stands where no value is: stripes, which no colour map has. */
export function hatched(context: CanvasRenderingContext2D): CanvasPattern | string {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const inner = tile.getContext("2d");
  if (inner === null) return color("raised");
  inner.fillStyle = color("raised");
  inner.fillRect(0, 0, 8, 8);
  inner.strokeStyle = color("line");
  inner.lineWidth = 1.5;
  inner.beginPath();
  for (const off of [-8, 0, 8]) {
    inner.moveTo(off - 1, 9);
    inner.lineTo(off + 9, -1);
  }
  inner.stroke();
  return context.createPattern(tile, "repeat") ?? color("raised");
}

/** Curves in a frame: axes, zoom, cursor, legend, by mouse and keyboard. All panels with curves use it. */
import uPlot from "uplot";
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import { short, UNKNOWN, withUnit } from "../numbers.ts";
import { text } from "../text.ts";
import { color } from "../theme.ts";
import type { Points } from "./curves.ts";
import { listen } from "./keyboard.ts";

export interface ChartCurve extends Points {
  /** unique */
  name: string;
  /** of CSS */
  color: string;
  dash?: number[];
  unit: string;
  axis: "left" | "right";
  shown: boolean;
  /** bars from 0 up, of a histogram: y of a bin belongs to the x where it begins */
  steps?: boolean;
  /** said at the legend */
  meaning?: string;
}

/** A line across the axis of x. */
export interface Mark {
  x: number;
  color: string;
  dash?: number[];
  words?: string;
}

/** The space between two curves of the chart, filled. */
export interface Band {
  upper: string;
  lower: string;
  color: string;
}

export interface ChartState {
  curves: readonly ChartCurve[];
  marks?: readonly Mark[];
  bands?: readonly Band[];
  x: string;
  left: string;
  right?: string;
  log?: boolean;
  low?: number | null;
  high?: number | null;
  /** words of a tick of x; without it the number itself */
  tickX?(value: number): string;
  /** where ticks of x stand; without it at round numbers */
  ticksX?: readonly number[];
}

export interface ChartActions {
  /** accessible name */
  label: string;
  choose?(x: number): void;
  toggle?(name: string, shown: boolean): void;
  log?(): void;
}

const CLICK = 4;

export class Chart {
  readonly element: HTMLElement;
  readonly legend: HTMLElement;
  #actions: ChartActions;
  #plot: uPlot | null = null;
  #state: ChartState = { curves: [], x: "", left: "" };
  #shape = "";
  #zoom: [number, number] | null = null;
  #pressed = { x: 0, y: 0 };
  #values = new Map<string, HTMLElement>();
  #words = element("span", { class: "hidden-words", set: { "aria-live": "polite" } });
  #frame = 0;
  #watch = new ResizeObserver(() => this.#soon());
  #stop: () => void;

  constructor(app: App, actions: ChartActions) {
    this.#actions = actions;
    this.legend = element("div", { class: "plots-legend", role: "group", label: text.plots.curves });
    this.element = element("div", { class: "fill plots-chart", role: "group", label: actions.label, title: text.plots.chartHelp });
    listen(this.element, {
      "plot-left": () => this.#step(-1), "plot-right": () => this.#step(1),
      "plot-first": () => this.#step(-Infinity), "plot-last": () => this.#step(Infinity),
      "plot-choose": () => this.#choose(this.cursor), "plot-all": () => this.zoom(null),
      "plot-in": () => this.#zoomBy(0.5), "plot-out": () => this.#zoomBy(2),
      "plot-back": () => this.#panBy(-0.2), "plot-forth": () => this.#panBy(0.2),
      "plot-log": () => this.#actions.log?.(),
    });
    this.element.append(this.#words);
    this.#stop = app.store.theme.follow(() => this.#remake());
    this.#watch.observe(this.element);
  }

  /** x under the cursor; null = it is nowhere */
  get cursor(): number | null {
    const index = this.#plot?.cursor.idx;
    return index === null || index === undefined ? null : this.#plot?.data[0][index] ?? null;
  }

  /** Show curves. Drawn in the next frame; never while the chart has no size. */
  set(state: ChartState): void {
    this.#state = state;
    this.#soon();
  }

  /** Show a part of the axis of x; null = all. */
  zoom(range: [number, number] | null): void {
    this.#zoom = range;
    const [low, high] = range ?? this.#extent;
    if (this.#plot !== null && high >= low) this.#plot.setScale("x", { min: low, max: high });
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#watch.disconnect();
    this.#stop();
    this.#plot?.destroy();
    this.#plot = null;
    this.element.remove();
    this.legend.remove();
  }

  get #extent(): [number, number] {
    const x = this.#plot?.data[0] ?? [];
    return [x[0] ?? 0, x.at(-1) ?? 1];
  }

  #soon(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #remake(): void {
    this.#shape = "";
    this.#soon();
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width < 20 || height < 20) return;
    const state = this.#state;
    const shape = JSON.stringify([
      state.curves.map(({ name, color: own, dash, unit, axis, steps }) => [name, own, dash, unit, axis, steps]),
      state.x, state.left, state.right, state.log, state.ticksX, state.bands, state.low, state.high,
    ]);
    const tables = state.curves.map((curve) => [curve.x, curve.y] as uPlot.AlignedData);
    const data = tables.length === 0 ? ([[], []] as uPlot.AlignedData) : uPlot.join(tables);
    if (this.#plot === null || shape !== this.#shape) {
      this.#shape = shape;
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#options(width, height), data, this.element);
      this.#makeLegend();
    } else {
      if (this.#plot.width !== width || this.#plot.height !== height) this.#plot.setSize({ width, height });
      this.#plot.setData(data);
    }
    for (const [index, curve] of state.curves.entries()) {
      if (this.#plot.series[index + 1]?.show !== curve.shown) this.#plot.setSeries(index + 1, { show: curve.shown });
      const entry = this.#values.get(curve.name)?.closest("button");
      entry?.setAttribute("aria-pressed", String(curve.shown));
    }
    this.#tell();
  }

  #options(width: number, height: number): uPlot.Options {
    const state = this.#state;
    const [ink, soft, line] = [color("ink"), color("ink-soft"), color("line")];
    const font = `12px ${getComputedStyle(this.element).fontFamily}`;
    const axis = (scale: string, label: string, side: uPlot.Axis.Side, grid: boolean): uPlot.Axis => ({
      scale, side, label, stroke: soft, font, labelFont: font, labelSize: 18, labelGap: 0, gap: 4,
      size: side % 2 === 0 ? 28 : (_, values) => Math.max(34, 12 + 7 * Math.max(0, ...(values ?? []).map((each) => each.length))),
      grid: { show: grid, stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 },
      values: (_, splits) => splits.map((each) => (each === null ? "" : side === 2 && state.tickX ? state.tickX(each) : short(each, 6))),
    });
    const right = state.curves.some((curve) => curve.axis === "right");
    const places = state.ticksX;
    const below = axis("x", state.x, 2, true);
    if (places !== undefined) below.splits = (_, __, low, high) => places.filter((at) => at >= low && at <= high);
    const axes = [below, axis("left", state.left, 3, true)];
    if (right) axes.push(axis("right", state.right ?? "", 1, false));
    const range = (own: boolean): uPlot.Range.Function => (_, low, high) => {
      const log = state.log === true;
      let [from, to] = low === null || low === undefined ? (log ? [1, 10] : [0, 1]) : [low, high];
      if (log) [from, to] = uPlot.rangeLog(from, to, 10, false) as [number, number];
      else [from, to] = uPlot.rangeNum(from, to, 0.08, true) as [number, number];
      // nothing below zero: zero is the natural foot
      if (!log && low !== null && low >= 0 && from < 0) from = 0;
      if (own && state.low !== null && state.low !== undefined && !(log && state.low <= 0)) from = state.low;
      if (own && state.high !== null && state.high !== undefined && !(log && state.high <= 0)) to = state.high;
      return to > from ? [from, to] : [from, from + (log ? from : 1)];
    };
    return {
      width, height, pxAlign: 1, legend: { show: false }, padding: [12, right ? 4 : 16, 0, 2],
      scales: {
        x: { time: false, range: (_, low, high) => this.#zoom ?? this.#whole(low, high) },
        left: { distr: state.log ? 3 : 1, range: range(true) },
        right: { distr: state.log ? 3 : 1, range: range(false) },
      },
      axes,
      series: [{ scale: "x" }, ...state.curves.map((curve): uPlot.Series => ({
        label: curve.name, scale: curve.axis, stroke: curve.color, width: 1.5, dash: curve.dash ?? [], show: curve.shown,
        points: curve.steps ? { show: false } : { size: 5, width: 1 },
        ...(curve.steps && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }), fill: `color-mix(in srgb, ${curve.color} 22%, transparent)` } : {}),
      }))],
      bands: (state.bands ?? []).flatMap(({ upper, lower, color: fill }) => {
        const [a, b] = [upper, lower].map((name) => state.curves.findIndex((curve) => curve.name === name) + 1);
        return a && b ? [{ series: [a, b] as [number, number], fill }] : [];
      }),
      cursor: {
        drag: { x: true, y: false, setScale: false }, y: false, points: { size: 7 },
        bind: {
          mousedown: (_, __, handler) => (event) => {
            this.element.focus({ preventScroll: true });
            this.#pressed = { x: event.clientX, y: event.clientY };
            if (event.shiftKey || event.button === 1) this.#startPan(event);
            else if (event.button === 0) handler(event);
            return null;
          },
          dblclick: () => () => {
            this.zoom(null);
            return null;
          },
        },
      },
      hooks: {
        init: [(self) => {
          self.over.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
          self.over.addEventListener("click", (event) => {
            const far = Math.hypot(event.clientX - this.#pressed.x, event.clientY - this.#pressed.y);
            if (far < CLICK && !event.shiftKey) this.#choose(this.cursor);
          });
        }],
        setSelect: [(self) => {
          const { left, width: wide } = self.select;
          if (wide >= CLICK) this.zoom([self.posToVal(left, "x"), self.posToVal(left + wide, "x")]);
          if (wide > 0) self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
        setCursor: [() => this.#tell()],
        draw: [(self) => this.#drawMarks(self, ink, font)],
      },
    };
  }

  #whole(low: number | null, high: number | null): [number, number] {
    if (low === null || high === null) return [0, 1];
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  }

  #drawMarks(self: uPlot, ink: string, font: string): void {
    const { ctx, bbox } = self;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
    ctx.clip();
    ctx.lineWidth = devicePixelRatio;
    ctx.font = font.replace("12px", `${11 * devicePixelRatio}px`);
    for (const mark of this.#state.marks ?? []) {
      const x = Math.round(self.valToPos(mark.x, "x", true)) + 0.5;
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.strokeStyle = mark.color;
      ctx.setLineDash((mark.dash ?? []).map((each) => each * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (mark.words === undefined) continue;
      ctx.fillStyle = ink;
      const toTheLeft = x > bbox.left + bbox.width - 60 * devicePixelRatio;
      ctx.textAlign = toTheLeft ? "right" : "left";
      ctx.fillText(mark.words, x + (toTheLeft ? -4 : 4) * devicePixelRatio, bbox.top + 10 * devicePixelRatio);
    }
    ctx.restore();
  }

  #makeLegend(): void {
    this.#values.clear();
    this.legend.replaceChildren(...this.#state.curves.map((curve) => {
      const value = element("span", { class: "plots-value number" });
      const swatch = element("span", { class: "plots-swatch", set: { "aria-hidden": "true" } });
      swatch.style.borderTopColor = curve.color;
      if (curve.dash?.[0] !== undefined) swatch.style.borderTopStyle = curve.dash[0] > 3 ? "dashed" : "dotted";
      this.#values.set(curve.name, value);
      const entry = button("", () => this.#toggle(curve.name), {
        class: "quiet plots-curve", title: curve.meaning ?? "", set: { "aria-pressed": String(curve.shown), "data-curve": curve.name },
      });
      entry.append(swatch, element("span", {}, curve.name), value);
      return entry;
    }));
  }

  #toggle(name: string): void {
    const curve = this.#state.curves.find((each) => each.name === name);
    if (curve === undefined) return;
    curve.shown = !curve.shown;
    this.#actions.toggle?.(name, curve.shown);
    this.#soon();
  }

  /** Values under the cursor, in the legend. */
  #tell(): void {
    const plot = this.#plot;
    if (plot === null) return;
    const index = plot.cursor.idx ?? null;
    const focused = document.activeElement === this.element;
    const words: string[] = [];
    for (const [number, curve] of this.#state.curves.entries()) {
      const exact = index === null ? null : valueNear(plot.data[number + 1] ?? [], index);
      const entry = this.#values.get(curve.name);
      const shown = index === null ? "" : withUnit(exact, curve.unit);
      if (entry !== undefined && entry.textContent !== shown) {
        entry.textContent = shown;
        entry.title = exact === null ? "" : withUnit(exact, curve.unit, true);
      }
      if (curve.shown && index !== null) words.push(`${curve.name} ${shown || UNKNOWN}`);
    }
    const x = this.cursor;
    if (focused && x !== null) this.#words.textContent = `${this.#state.x} ${short(x)}: ${words.slice(0, 6).join(", ")}`;
  }

  #choose(x: number | null): void {
    if (x !== null) this.#actions.choose?.(x);
  }

  /** Put the cursor on another point that is on the screen. */
  #step(by: number): void {
    const plot = this.#plot;
    if (plot === null || plot.data[0].length === 0) return;
    const [low, high] = [plot.scales.x?.min ?? -Infinity, plot.scales.x?.max ?? Infinity];
    const x = plot.data[0];
    const first = Array.prototype.findIndex.call(x, (each: number) => each >= low);
    let last = x.length - 1;
    while (last > first && (x[last] ?? 0) > high) last -= 1;
    const now = plot.cursor.idx ?? (by > 0 ? first - 1 : last + 1);
    const index = Math.min(Math.max(now + by, first), last);
    plot.setCursor({ left: plot.valToPos(x[index] ?? low, "x"), top: plot.bbox.height / devicePixelRatio / 2 });
  }

  get #range(): [number, number] {
    const { min, max } = this.#plot?.scales.x ?? {};
    return [min ?? 0, max ?? 1];
  }

  #zoomBy(factor: number, about: number | null = this.cursor): void {
    const [low, high] = this.#range;
    const middle = about !== null && about >= low && about <= high ? about : (low + high) / 2;
    const [first, last] = this.#extent;
    const range: [number, number] = [middle - (middle - low) * factor, middle + (high - middle) * factor];
    if (range[0] <= first && range[1] >= last) this.zoom(null);
    else if (range[1] - range[0] > 1e-9 * Math.max(Math.abs(middle), 1e-9)) this.zoom(range);
  }

  #panBy(share: number): void {
    const [low, high] = this.#range;
    this.#panTo(low + share * (high - low), high - low);
  }

  /** Move what is shown, within what is there. */
  #panTo(low: number, width: number): void {
    const [first, last] = this.#extent;
    const from = Math.min(Math.max(low, first), Math.max(last - width, first));
    this.zoom([from, from + width]);
  }

  #wheel(event: WheelEvent): void {
    if (this.#plot === null || event.ctrlKey) return;
    event.preventDefault();
    const left = event.clientX - this.#plot.over.getBoundingClientRect().left;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.#panBy(event.deltaX / this.#plot.over.clientWidth);
    else this.#zoomBy(1.0015 ** Math.max(Math.min(event.deltaY, 400), -400), this.#plot.posToVal(left, "x"));
  }

  #startPan(event: MouseEvent): void {
    const zoom = this.#range;
    const begin = event.clientX;
    const move = (next: MouseEvent): void => {
      const width = this.#plot?.over.clientWidth ?? 1;
      this.#panTo(zoom[0] - ((next.clientX - begin) / width) * (zoom[1] - zoom[0]), zoom[1] - zoom[0]);
    };
    const end = (): void => {
      removeEventListener("mousemove", move);
      removeEventListener("mouseup", end);
    };
    addEventListener("mousemove", move);
    addEventListener("mouseup", end);
  }
}

/** A curve's value at an index of all x, or beside it where the curve has other points; null = a gap. */
export function valueNear(values: ArrayLike<number | null | undefined>, index: number): number | null {
  for (let off = 0; off < 64; off += 1) {
    for (const at of [index - off, index + off]) {
      const value = values[at];
      if (at >= 0 && at < values.length && value !== undefined) return value;
    }
  }
  return null;
}

const DASHES: readonly (number[] | undefined)[] = [undefined, [6, 4], [2, 3], [10, 3, 2, 3]];

/** Colour and dash of the n-th curve: eight colours, then the same with another dash. */
export function strokeOf(number: number): { color: string; dash?: number[] } {
  const dash = DASHES[Math.floor(number / 8) % DASHES.length];
  return { color: color(`series-${(number % 8) + 1}`), ...(dash ? { dash } : {}) };
}

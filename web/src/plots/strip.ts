/** The panel "strip": what became of every image, from the first to the last, as the books have it. */
import type { App } from "../app.ts";
import type { Books } from "../api_types.ts";
import { csv as written } from "../csv.ts";
import { button, element } from "../dom.ts";
import type { Panel, Params } from "../panels.ts";
import { text } from "../text.ts";
import { color } from "../theme.ts";
import { fontOf } from "./heat.ts";
import { listen } from "./keyboard.ts";
import { paramsOf, type StripParams } from "./kinds.ts";
import { Refresh, seriesLookedAt } from "./refresh.ts";
import { showImage } from "./show.ts";
import { binAt, imagesOf, LANES, shares, total, zoomed, type Lane, type StripAnswer } from "./strip_math.ts";

const LEFT = 76;
const RIGHT = 74;
/** px of the overview above */
const OVERVIEW = 14;
const WIDTH = 1000;
/** px of a lane at least: its name is written as small as it must be */
const LOWEST = 10;

export class StripPanel implements Panel {
  #app: App;
  #params: StripParams;
  #series: string | null = null;
  #books: Books | null = null;
  #whole: StripAnswer | null = null;
  #part: StripAnswer | null = null;
  #cursor: number | null = null;
  /** where the pointer was last over the canvas */
  #pointer: PointerEvent | null = null;
  #drag: { from: number; to: number } | null = null;
  #refresh: Refresh;
  #canvas = element("canvas", { set: { "aria-hidden": "true" } });
  #fill: HTMLElement;
  #place = element("p", { class: "plots-note small number", role: "status" });
  #totals = element("p", { class: "plots-note small soft plots-totals" });
  #stops: (() => void)[];
  #waiting = 0;
  /** all but the cursor, which goes with each image; null = to be drawn */
  #lanes: HTMLCanvasElement | null = null;
  #cursors = "";
  #watch = new ResizeObserver(() => this.#anew());

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("strip", params);
    this.#fill = element("div", { class: "fill plots-strip", role: "group", label: text.plots.strip, title: text.plots.stripHelp }, this.#canvas);
    listen(this.#fill, {
      "plot-left": () => this.#step(-1), "plot-right": () => this.#step(1),
      "plot-first": () => this.#step(-Infinity), "plot-last": () => this.#step(Infinity),
      "plot-choose": () => this.#cursor !== null && void showImage(app, this.#cursor, this.#series),
      "plot-in": () => this.#zoom(0.5), "plot-out": () => this.#zoom(2), "plot-all": () => this.#show(null),
      "plot-back": () => this.#pan(-0.25), "plot-forth": () => this.#pan(0.25),
    });
    const bar = element(
      "div", { class: "toolbar plots-tools" },
      button("+", () => this.#zoom(0.5), { class: "icon", label: text.plots.zoomIn, title: text.plots.zoomIn }),
      button("−", () => this.#zoom(2), { class: "icon", label: text.plots.zoomOut, title: text.plots.zoomOut }),
      button(text.plots.reset, () => this.#show(null), { title: text.plots.resetHelp }), this.#place,
    );
    container.append(bar, this.#fill, this.#totals);
    this.#listen();
    this.#watch.observe(this.#fill);
    this.#refresh = new Refresh(app, {
      ask: (signal, anew) => this.#ask(signal, anew),
      trouble: (words) => {
        if (words === null) return;
        this.#whole = this.#part = null;
        this.#totals.textContent = words;
        this.#anew();
      },
    });
    this.#stops = [app.store.image.follow(() => this.#soon()), app.store.theme.follow(() => this.#anew())];
  }

  params(): Params {
    return { ...this.#params };
  }

  seen(now: boolean): void {
    this.#refresh.seen(now);
  }

  focus(): void {
    this.#fill.focus();
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    cancelAnimationFrame(this.#waiting);
    this.#watch.disconnect();
    this.#refresh.dispose();
  }

  csv(): string {
    const answer = this.#part;
    if (answer === null) return "";
    const bins = answer.status.ok.map((_, bin) => imagesOf(answer, bin));
    return written([
      { name: "first image", values: bins.map(([first]) => first) },
      { name: "images", values: bins.map(([first, end]) => end - first) },
      ...LANES.map((lane) => ({ name: lane, values: answer.status[lane] ?? [] })),
    ]);
  }

  async #ask(signal: AbortSignal, anew: boolean): Promise<void> {
    const series = seriesLookedAt(this.#app);
    if (anew && series !== this.#series && this.#series !== null) this.#params = { from: null, to: null };
    this.#series = series;
    const { from, to } = this.#params;
    const whole = this.#app.api.json<StripAnswer>("strip", { query: { series, width: WIDTH }, signal });
    const part = from === null || to === null ? whole : this.#app.api.json<StripAnswer>("strip", { query: { series, width: WIDTH, from, to }, signal });
    [this.#whole, this.#part] = await Promise.all([whole, part]);
    this.#books = this.#booksOf(series);
    // other images lie under the pointer, where another part is shown
    const under = this.#pointer === null ? null : this.#under(this.#pointer);
    if (under !== null && under.share >= 0 && under.share <= 1) this.#cursor = under.image;
    this.#tell();
    this.#anew();
  }

  #booksOf(series: string | null): Books | null {
    const { status, streamed } = this.#app.store;
    const current = status.value?.series ?? null;
    if (current !== null && current.series === series) return current.books;
    return streamed.value.find((each) => each.series === series)?.books ?? null;
  }

  get #end(): number {
    return (this.#whole?.last ?? -1) + 1;
  }

  get #range(): [number, number] {
    const { from, to } = this.#params;
    return from === null || to === null ? [0, this.#end] : [from, Math.min(to, this.#end)];
  }

  #show(range: [number, number] | null): void {
    this.#params = { from: range?.[0] ?? null, to: range?.[1] ?? null };
    this.#refresh.now(false);
  }

  #zoom(factor: number, about = this.#cursor): void {
    const [from, to] = this.#range;
    this.#show(zoomed(from, to, about !== null && about >= from && about < to ? about : (from + to) / 2, factor, this.#end));
  }

  #pan(share: number): void {
    const [from, to] = this.#range;
    const first = Math.min(Math.max(from + Math.round(share * (to - from)), 0), this.#end - (to - from));
    if (this.#params.from !== null) this.#show([first, first + to - from]);
  }

  #step(by: number): void {
    this.#pointer = null;
    const [from, to] = this.#range;
    const now = this.#cursor ?? (by > 0 ? from - 1 : to);
    this.#goTo(Math.min(Math.max(now + by * (this.#part?.per ?? 1), from), to - 1));
  }

  #goTo(number: number | null): void {
    this.#cursor = number;
    this.#tell();
    this.#soon();
  }

  /** The image at a place of the canvas, by the overview above or the part below. */
  #under(event: MouseEvent): { image: number; share: number; above: boolean } | null {
    const at = this.#canvas.getBoundingClientRect();
    const share = (event.clientX - at.left - LEFT) / Math.max(at.width - LEFT - RIGHT, 1);
    const above = event.clientY - at.top < OVERVIEW + 10;
    const answer = above ? this.#whole : this.#part;
    if (answer === null) return null;
    const bin = binAt(answer, Math.min(Math.max(share, 0), 1));
    return bin === null ? null : { image: imagesOf(answer, bin)[0], share, above };
  }

  #listen(): void {
    const canvas = this.#canvas;
    canvas.addEventListener("pointermove", (event) => {
      this.#pointer = event;
      const under = this.#under(event);
      if (this.#drag !== null && under !== null) this.#drag.to = under.image;
      else if (under === null || under.share < 0 || under.share > 1) this.#goTo(null);
      if (under !== null && under.share >= 0 && under.share <= 1) this.#goTo(under.image);
    });
    canvas.addEventListener("pointerdown", (event) => {
      this.#fill.focus({ preventScroll: true });
      const under = this.#under(event);
      if (event.button !== 0 || under === null) return;
      canvas.setPointerCapture(event.pointerId);
      this.#drag = { from: under.image, to: under.image };
    });
    canvas.addEventListener("pointerup", () => {
      const drag = this.#drag;
      this.#drag = null;
      if (drag === null) return;
      const [low, high] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      if (low === high) void showImage(this.#app, low, this.#series);
      else this.#show([low, Math.min(Math.max(high + 1, low + 8), this.#end)]);
    });
    canvas.addEventListener("pointerleave", () => {
      this.#pointer = null;
      if (document.activeElement !== this.#fill) this.#goTo(null);
    });
    canvas.addEventListener("dblclick", () => this.#show(null));
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) return;
      event.preventDefault();
      this.#zoom(1.0015 ** Math.max(Math.min(event.deltaY, 400), -400), this.#under(event)?.image ?? null);
    }, { passive: false });
  }

  /** Totals in the words of the books, and what is under the cursor. */
  #tell(): void {
    const part = this.#part;
    const status = this.#whole?.status;
    const books = this.#books;
    if (this.#whole === null || status === undefined) return;
    this.#totals.textContent = books === null
      ? text.plots.stripTotals(this.#end, LANES.map((lane) => `${total(status[lane])} ${text.plots.lanes[lane]}`).join(", "))
      : text.plots.booksTotals(
          books.expected, books.received, books.analysed, books.skipped, books.failed, books.in_flight, books.missing, books.late, total(status.hit),
        );
    if (this.#whole.beyond) this.#totals.textContent += ` · ${text.plots.beyond(this.#whole.beyond)}`;
    if (part === null || this.#cursor === null || part.first === null) {
      this.#place.textContent = part === null || part.first === null ? "" : text.plots.stripRange(...this.#range, part.per);
      return;
    }
    const bin = Math.floor((this.#cursor - part.first) / part.per);
    const [first, end] = imagesOf(part, bin);
    const there = LANES.filter((lane) => (part.status[lane]?.[bin] ?? 0) > 0).map((lane) =>
      part.per === 1 ? text.plots.lanes[lane] : `${part.status[lane]?.[bin] ?? 0} ${text.plots.lanes[lane]}`);
    const inside = bin >= 0 && bin < part.status.ok.length;
    this.#place.textContent = inside ? text.plots.stripCell(first, end, there.join(", ")) : text.plots.stripCell(this.#cursor, this.#cursor + 1, "");
  }

  #anew(): void {
    this.#lanes = null;
    this.#soon();
  }

  #soon(): void {
    if (this.#waiting !== 0) return;
    this.#waiting = requestAnimationFrame(() => {
      this.#waiting = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.#fill;
    if (width < LEFT + RIGHT + 20 || height < 30) return;
    const ratio = devicePixelRatio;
    const wide = width - LEFT - RIGHT;
    const top = OVERVIEW + 12;
    const lane = Math.min(Math.max((height - top - 20) / LANES.length, LOWEST), 40);
    const lines = this.#lines(wide);
    const cursors = JSON.stringify([lines, this.#drag]);
    if (this.#lanes !== null && cursors === this.#cursors) return; // thousands of images are one px
    this.#cursors = cursors;
    this.#lanes ??= this.#drawLanes(Math.round(width * ratio), Math.round(height * ratio), ratio, wide, top, lane);
    const canvas = this.#canvas;
    if (canvas.width !== this.#lanes.width || canvas.height !== this.#lanes.height) [canvas.width, canvas.height] = [this.#lanes.width, this.#lanes.height];
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.#lanes, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.#part?.first != null) this.#drawCursor(context, lines, wide, top, LANES.length * lane - 2);
  }

  #drawLanes(width: number, height: number, ratio: number, wide: number, top: number, lane: number): HTMLCanvasElement {
    const canvas = element("canvas", { set: { width: String(width), height: String(height) } });
    const context = canvas.getContext("2d");
    const [whole, part] = [this.#whole, this.#part];
    if (context === null || whole === null || part === null || part.first === null) return canvas;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = fontOf(this.#fill, 11.5);
    this.#drawOverview(context, whole, wide);
    context.font = fontOf(this.#fill, Math.min(lane, 11.5));
    for (const [index, name] of LANES.entries()) this.#drawLane(context, name, part, wide, top + index * lane, lane - Math.min(lane / 6, 2));
    this.#drawNumbers(context, wide, top + LANES.length * lane);
    return canvas;
  }

  #drawOverview(context: CanvasRenderingContext2D, whole: StripAnswer, wide: number): void {
    const bins = whole.status.ok.length;
    context.fillStyle = color("raised");
    context.fillRect(LEFT, 2, wide, OVERVIEW);
    for (const name of ["ok", "hit", "late", "skipped", "failed", "missing"] as const) {
      context.fillStyle = color(name);
      const strong = shares(whole.status[name] ?? [], whole.per);
      for (const [bin, share] of strong.entries()) {
        if (share === 0) continue;
        context.globalAlpha = share;
        const [left, right] = edges(bin, bins, wide);
        // what was lost hangs from above, so that it is seen beside what was not
        const high = name === "ok" ? OVERVIEW : OVERVIEW / 2;
        context.fillRect(LEFT + left, name === "hit" ? 2 + OVERVIEW / 2 : 2, right - left, high);
      }
    }
    context.globalAlpha = 1;
    if (this.#params.from !== null && this.#end > 0) {
      const [from, to] = this.#range;
      context.strokeStyle = color("accent");
      context.lineWidth = 2;
      context.strokeRect(LEFT + (from / this.#end) * wide, 1, Math.max(((to - from) / this.#end) * wide, 3), OVERVIEW + 2);
    }
    context.fillStyle = color("ink-soft");
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillText(text.plots.all, LEFT - 8, 2 + OVERVIEW / 2);
  }

  #drawLane(context: CanvasRenderingContext2D, name: Lane, part: StripAnswer, wide: number, top: number, high: number): void {
    const counts = part.status[name] ?? [];
    context.fillStyle = color("raised");
    context.fillRect(LEFT, top, wide, high);
    context.fillStyle = color(name);
    for (const [bin, share] of shares(counts, part.per).entries()) {
      if (share === 0) continue;
      context.globalAlpha = share;
      const [left, right] = edges(bin, counts.length, wide);
      context.fillRect(LEFT + left, top, right - left, high);
    }
    context.globalAlpha = 1;
    context.textBaseline = "middle";
    context.fillStyle = color(name);
    context.fillRect(LEFT - 12, top + high / 2 - 4, 7, 8);
    context.fillStyle = color("ink");
    context.textAlign = "right";
    context.fillText(text.plots.lanes[name], LEFT - 17, top + high / 2);
    const sum = total(counts);
    context.textAlign = "left";
    context.fillStyle = color(sum === 0 ? "ink-soft" : "ink");
    context.fillText(String(sum), LEFT + wide + 8, top + high / 2);
  }

  #drawNumbers(context: CanvasRenderingContext2D, wide: number, top: number): void {
    const [from, to] = this.#range;
    context.fillStyle = color("ink-soft");
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText(String(from), LEFT, top + 2);
    context.textAlign = "right";
    context.fillText(String(to - 1), LEFT + wide, top + 2);
  }

  /** Where the image that is shown and the cursor are, px; null = nowhere. */
  #lines(wide: number): { shown: number | null; cursor: number | null } {
    const [from, to] = this.#range;
    const place = (number: number | null): number | null =>
      number === null || number < from || number >= to ? null : Math.round(LEFT + ((number + 0.5 - from) / (to - from)) * wide) + 0.5;
    const image = this.#app.store.image.value;
    return { shown: place(image !== null && image.series === this.#series ? image.number : null), cursor: place(this.#cursor) };
  }

  #drawCursor(context: CanvasRenderingContext2D, { shown, cursor }: { shown: number | null; cursor: number | null }, wide: number, top: number, high: number): void {
    const [from, to] = this.#range;
    const line = (at: number | null, style: string, dashed: boolean): void => {
      if (at === null) return;
      context.strokeStyle = style;
      context.lineWidth = 1.5;
      context.setLineDash(dashed ? [3, 3] : []);
      context.beginPath();
      context.moveTo(at, top - 3);
      context.lineTo(at, top + high + 3);
      context.stroke();
      context.setLineDash([]);
    };
    line(shown, color("accent"), false);
    line(cursor, color("ink"), true);
    if (this.#drag !== null && this.#drag.from !== this.#drag.to) {
      const [low, end] = [Math.min(this.#drag.from, this.#drag.to), Math.max(this.#drag.from, this.#drag.to)];
      context.fillStyle = color("accent");
      context.globalAlpha = 0.25;
      context.fillRect(LEFT + ((low - from) / (to - from)) * wide, top, ((end + 1 - low) / (to - from)) * wide, high);
      context.globalAlpha = 1;
    }
  }
}

/** px of a bin, a whole one at least; wide bins stand apart. */
function edges(bin: number, bins: number, wide: number): [number, number] {
  const left = Math.floor((bin / bins) * wide);
  const right = Math.floor(((bin + 1) / bins) * wide);
  return [left, Math.max(right - (wide / bins >= 5 ? 1 : 0), left + 1)];
}

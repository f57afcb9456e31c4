/** The panel "plot": quantities of images over their number, time or angle. */
import type { App } from "../app.ts";
import { csv as written, type CsvColumn } from "../csv.ts";
import { button, element } from "../dom.ts";
import { unitWords } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import { calmly } from "../signal.ts";
import { text } from "../text.ts";
import { Chart, strokeOf, type ChartCurve, type Mark } from "./chart.ts";
import { choice, numberField, picker, toggle } from "./controls.ts";
import {
  axesOf, axisKey, continued, continueFrom, drawn, imageAt, MOST_POINTS, placeOf, positive, type Numbers, type PlotAnswer,
} from "./curves.ts";
import { paramsOf, titleOf, type Axis, type PlotParams } from "./kinds.ts";
import { Refresh, seriesLookedAt } from "./refresh.ts";
import { showImage } from "./show.ts";
import { color } from "../theme.ts";

/** curves of a plot, at most */
export const MOST_CURVES = 48;

interface Further {
  name: string;
  color: string;
  x: Numbers;
  y: Numbers;
}

export class PlotPanel implements Panel {
  #container: HTMLElement;
  #app: App;
  #params: PlotParams;
  #chart: Chart;
  #refresh: Refresh;
  #answers = new Map<string, PlotAnswer>();
  #further = new Map<string, Further[]>();
  #series: string | null = null;
  #meanings: Record<string, string> = {};
  #note = element("p", { class: "plots-note small soft", role: "status" });
  #tools = element("div", { class: "toolbar plots-tools" });
  #regionTool: HTMLElement;
  #logTool: HTMLElement;
  #stops: (() => void)[];

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#container = container;
    this.#app = app;
    this.#params = paramsOf("plot", params);
    this.#chart = new Chart(app, {
      label: text.plots.title,
      choose: (x) => this.#choose(x),
      toggle: (name, shown) => {
        const others = this.#params.hidden.filter((each) => each !== name);
        this.#params.hidden = shown ? others : [...others, name];
      },
      log: () => this.#change({ log: !this.#params.log }),
    });
    this.#regionTool = picker(
      text.plots.regions, text.plots.regionsHelp, () => this.#regions(), () => this.#params.regions ?? [],
      (regions) => this.#change({ regions: regions.length === 0 ? null : regions }), (error) => app.fail(error),
    );
    this.#logTool = toggle(text.plots.log, text.plots.logHelp, this.#params.log, (log) => this.#change({ log }));
    container.append(this.#tools, this.#chart.legend, this.#chart.element, this.#note);
    this.#makeTools();
    this.#refresh = new Refresh(app, {
      ask: (signal, anew) => this.#ask(signal, anew),
      trouble: (words) => {
        if (words !== null) this.#note.textContent = words;
      },
    });
    this.#stops = [
      app.store.image.follow(calmly(() => this.#draw())),
      app.store.curves.follow(() => this.#refresh.soon(true)),
    ];
  }

  params(): Params {
    return { ...this.#params };
  }

  seen(now: boolean): void {
    this.#refresh.seen(now);
  }

  focus(): void {
    this.#chart.element.focus();
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    this.#refresh.dispose();
    this.#chart.dispose();
  }

  csv(): string {
    const columns: CsvColumn[] = [];
    for (const [quantity, answer] of this.#answers) {
      if (columns.length === 0) columns.push({ name: "image", values: answer.images ?? [] });
      for (const curve of answer.series) {
        if (!this.#wanted(quantity, curve.name)) continue;
        const name = curve.name === quantity ? quantity : `${curve.name} ${quantity}`;
        columns.push({ name: `${name} ${this.#params.x}`, unit: answer.unit_x, values: curve.x });
        columns.push({ name, unit: answer.unit_y, values: curve.y });
      }
    }
    for (const [quantity, further] of this.#further) {
      for (const curve of further) {
        columns.push({ name: `${curve.name} ${quantity} ${this.#params.x}`, values: curve.x });
        columns.push({ name: `${curve.name} ${quantity}`, values: curve.y });
      }
    }
    return written(columns);
  }

  #makeTools(): void {
    const { x, bin, low, high } = this.#params;
    const bins = [...new Set([0, 1, 10, 100, 1000, 10_000, bin])].map((each) => [String(each), each === 0 ? text.plots.binAuto : `bin: ${each}`] as const);
    const fail = (error: unknown): void => this.#app.fail(error);
    this.#tools.append(
      picker(text.plots.quantities, text.plots.quantitiesHelp, () => this.#offers(), () => this.#params.quantities,
        (quantities) => this.#change({ quantities }), fail),
      this.#regionTool,
      choice<Axis>(text.plots.axis, (["image", "time", "angle"] as const).map((each) => [each, text.plots.axes[each]]), x,
        (value) => this.#change({ x: value })),
      choice(text.plots.bin, bins, String(bin), (value) => this.#change({ bin: Number(value) })),
      this.#logTool,
      numberField(text.plots.low, text.plots.least, low, (value) => this.#change({ low: value })),
      numberField(text.plots.high, text.plots.most, high, (value) => this.#change({ high: value })),
      button(text.plots.reset, () => this.#chart.zoom(null), { title: text.plots.resetHelp }),
    );
    this.#followParams();
  }

  #followParams(): void {
    this.#regionTool.hidden = !this.#params.quantities.some((each) => each.startsWith("roi_"));
    this.#logTool.setAttribute("aria-pressed", String(this.#params.log));
  }

  #change(fields: Partial<PlotParams>): void {
    this.#params = { ...this.#params, ...fields };
    this.#app.panels.rename(this.#container, titleOf("plot", this.params(), text.plots.title));
    this.#followParams();
    if ("x" in fields) this.#chart.zoom(null);
    if ("quantities" in fields || "x" in fields || "bin" in fields) this.#refresh.now(true);
    else this.#draw();
  }

  async #offers(): Promise<{ id: string; words: string; meaning: string }[]> {
    if (Object.keys(this.#meanings).length === 0) this.#meanings = await this.#app.api.json<Record<string, string>>("plots");
    const names = Object.keys(this.#meanings).filter((name) => !["d_histogram", "powder", "peakogram"].includes(name));
    return names.map((id) => ({ id, words: id, meaning: this.#meanings[id] ?? "" }));
  }

  async #regions(): Promise<{ id: string; words: string; meaning: string }[]> {
    const answer = await this.#app.api.json<PlotAnswer>("plots/roi_sum", { query: { series: seriesLookedAt(this.#app), bin: 10 ** 9 } });
    return answer.series.map(({ name }) => ({ id: name, words: name, meaning: "" }));
  }

  async #ask(signal: AbortSignal, anew: boolean): Promise<void> {
    const series = seriesLookedAt(this.#app);
    const another = series !== this.#series;
    if (another) {
      this.#answers.clear();
      this.#chart.zoom(null);
    }
    this.#series = series;
    for (const quantity of [...this.#answers.keys()]) if (!this.#params.quantities.includes(quantity)) this.#answers.delete(quantity);
    const made = await Promise.all(this.#params.quantities.map(async (quantity) => {
      const answer = await this.#answer(quantity, anew || another ? undefined : this.#answers.get(quantity), signal);
      return [quantity, answer] as const;
    }));
    this.#answers = new Map(made);
    if (anew || another) await this.#askFurther();
    this.#draw();
  }

  async #answer(quantity: string, before: PlotAnswer | undefined, signal: AbortSignal): Promise<PlotAnswer> {
    const query = { series: this.#series, x: this.#params.x };
    const path = `plots/${encodeURIComponent(quantity)}`;
    if (before !== undefined && (before.images?.length ?? 0) > 0) {
      const from = continueFrom(before);
      const more = await this.#app.api.json<PlotAnswer>(path, { query: { ...query, bin: before.bin, from }, signal });
      const whole = continued(before, more, from);
      if (whole !== null && (this.#params.bin !== 0 || (whole.images?.length ?? 0) <= MOST_POINTS)) return whole;
    }
    return this.#app.api.json<PlotAnswer>(path, { query: { ...query, bin: this.#params.bin }, signal });
  }

  async #askFurther(): Promise<void> {
    const made = new Map<string, Further[]>();
    for (const quantity of this.#params.quantities) {
      const all = this.#app.store.curves.value.map(async (source) => {
        const curves = await source.fetch(quantity, this.#params.x);
        return curves.map((curve) => ({ ...curve, color: source.color }));
      });
      const answers = await Promise.allSettled(all);
      for (const answer of answers) if (answer.status === "rejected") this.#app.fail(answer.reason);
      made.set(quantity, answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : [])));
    }
    this.#further = made;
  }

  #wanted(quantity: string, curve: string): boolean {
    return !quantity.startsWith("roi_") || this.#params.regions === null || this.#params.regions.includes(curve);
  }

  #draw(): void {
    const notes: string[] = [];
    const { quantities, log, low, high, x } = this.#params;
    const keys = quantities.map((quantity) => axisKey(quantity, this.#answers.get(quantity)?.unit_y ?? ""));
    const axes = axesOf(keys);
    const third = quantities.filter((_, index) => axes[index] === null);
    if (third.length > 0) notes.push(text.plots.thirdUnit(third.join(", ")));
    let made: ChartCurve[] = [];
    let number = 0;
    let out = 0;
    const add = (name: string, points: { x: Numbers; y: Numbers }, more: Omit<ChartCurve, "name" | "x" | "y" | "shown">, answer?: PlotAnswer): void => {
      const [y, lost] = log ? positive(points.y) : [points.y, 0];
      out += lost;
      made.push({ ...more, ...drawn(points.x, y, answer?.images, answer?.bin), name, shown: !this.#params.hidden.includes(name) });
    };
    for (const [index, quantity] of quantities.entries()) {
      const answer = this.#answers.get(quantity);
      const axis = axes[index];
      if (answer === undefined || axis === null || axis === undefined) continue;
      for (const curve of answer.series) {
        if (!this.#wanted(quantity, curve.name)) continue;
        const name = quantity.startsWith("roi_") ? `${curve.name} ${quantity.slice(4)}` : curve.name;
        add(name, curve, { ...strokeOf(number), unit: answer.unit_y, axis, meaning: answer.title }, answer);
        number += 1;
      }
      for (const curve of this.#further.get(quantity) ?? []) {
        add(`${curve.name} ${quantity}`, curve, { color: curve.color, dash: [6, 4], unit: answer.unit_y, axis, meaning: answer.title });
      }
    }
    if (made.length > MOST_CURVES) {
      notes.push(text.plots.leftOut(made.length - MOST_CURVES));
      made = made.slice(0, MOST_CURVES);
    }
    if (out > 0) notes.push(text.plots.notPositive(out));
    const first = [...this.#answers.values()][0];
    if (first !== undefined && first.bin > 1) notes.push(text.plots.perPoint(first.bin));
    if (quantities.length === 0) notes.push(text.plots.choose);
    else if (made.length === 0 && first !== undefined) notes.push(first.series.length === 0 ? text.plots.noRegions : text.plots.nothing);
    else if (made.every((curve) => curve.x.length === 0)) notes.push(text.plots.nothing);
    this.#note.textContent = notes.join(" · ");
    const axis = (side: "left" | "right"): string => {
      const own = quantities.filter((_, index) => axes[index] === side);
      const unit = own.map((each) => this.#answers.get(each)?.unit_y ?? "")[0] ?? "";
      return unit === "" ? own.join(", ") : `${own.join(", ")} (${unitWords(unit)})`;
    };
    const unit = first?.unit_x ?? "";
    this.#chart.set({
      curves: made, marks: this.#marks(first), x: unit === "" ? text.plots.axes[x] : `${text.plots.axes[x]} (${unitWords(unit)})`,
      left: axis("left"), right: axis("right"), log, low, high,
    });
  }

  #marks(answer: PlotAnswer | undefined): Mark[] {
    const shown = this.#app.store.image.value;
    if (answer === undefined || shown === null || shown.series !== this.#series) return [];
    const at = placeOf(answer, this.#params.x, shown.number);
    return at === null ? [] : [{ x: at, color: color("accent"), words: String(shown.number) }];
  }

  #choose(x: number): void {
    const answer = [...this.#answers.values()][0];
    const number = answer === undefined ? null : imageAt(answer, this.#params.x, x);
    if (number !== null) void showImage(this.#app, number, this.#series);
  }
}

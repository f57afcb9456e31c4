/** The panel "distributions": what is made of all spots of a series. */
import type { App } from "../app.ts";
import { csv as written } from "../csv.ts";
import { element } from "../dom.ts";
import { COLORS } from "../image/colors.ts";
import { short, unitWords, withUnit } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import { text } from "../text.ts";
import { Chart, strokeOf } from "./chart.ts";
import { choice, toggle } from "./controls.ts";
import { barsOf, drawn, positive, type PlotAnswer } from "./curves.ts";
import { Heat } from "./heat.ts";
import { paramsOf, type DistributionsParams } from "./kinds.ts";
import { axisOf, extentOf, type Cell } from "./map_math.ts";
import { Refresh, seriesLookedAt } from "./refresh.ts";
import { centred } from "./show.ts";

type Which = DistributionsParams["which"];

export class DistributionsPanel implements Panel {
  #app: App;
  #params: DistributionsParams;
  #answer: PlotAnswer | null = null;
  #series: string | null = null;
  #chart: Chart;
  #heat: Heat;
  #refresh: Refresh;
  #place = element("p", { class: "plots-note small number", role: "status" });
  #note = element("p", { class: "plots-note small soft" });

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("distributions", params);
    const log = toggle(text.plots.log, text.plots.logHelp, this.#params.log, (on) => this.#change({ log: on }));
    this.#chart = new Chart(app, { label: text.plots.which.d_histogram, log: () => log.click() });
    this.#heat = new Heat(app, {
      label: text.plots.distributions, point: (cell) => this.#tell(cell), choose: (cell) => this.#choose(cell), log: () => log.click(),
    });
    const names = ["d_histogram", "powder", "peakogram"] as const;
    container.append(
      element(
        "div", { class: "toolbar plots-tools" },
        choice<Which>(text.plots.distributions, names.map((each) => [each, text.plots.which[each]]), this.#params.which,
          (which) => this.#change({ which })),
        choice(text.plots.colors, COLORS.map((each) => [each, each]), this.#params.color as (typeof COLORS)[number], (color) => this.#change({ color })),
        log,
      ),
      this.#chart.element, this.#heat.element, this.#place, this.#note,
    );
    this.#refresh = new Refresh(app, {
      ask: (signal) => this.#ask(signal),
      trouble: (words) => {
        if (words === null) return;
        this.#answer = null;
        this.#draw();
        this.#note.textContent = words;
      },
    });
    this.#draw();
  }

  params(): Params {
    return { ...this.#params };
  }

  seen(now: boolean): void {
    this.#refresh.seen(now);
  }

  focus(): void {
    (this.#params.which === "d_histogram" ? this.#chart : this.#heat).element.focus();
  }

  dispose(): void {
    this.#refresh.dispose();
    this.#chart.dispose();
    this.#heat.dispose();
  }

  csv(): string {
    const answer = this.#answer;
    const curve = answer?.series[0];
    if (curve !== undefined) return written([{ name: "1/d", unit: "1/angstrom", values: curve.x }, { name: curve.name, values: curve.y }]);
    if (!answer?.z) return "";
    const cells = answer.z.flatMap((line, row) => line.map((value, column) => ({ row, column, value })));
    return written([
      { name: "x", unit: answer.unit_x, values: cells.map((cell) => answer.x?.[cell.column]) },
      { name: "y", unit: answer.unit_y, values: cells.map((cell) => answer.y?.[cell.row]) },
      { name: "spots", values: cells.map((cell) => cell.value) },
    ]);
  }

  #change(fields: Partial<DistributionsParams>): void {
    this.#params = { ...this.#params, ...fields };
    if ("which" in fields) {
      this.#answer = null;
      this.#refresh.now(true);
    }
    this.#draw();
  }

  async #ask(signal: AbortSignal): Promise<void> {
    this.#series = seriesLookedAt(this.#app);
    const { which } = this.#params;
    const answer = await this.#app.api.json<PlotAnswer>(`plots/${which}`, { query: { series: this.#series }, signal });
    if (which !== this.#params.which) return;
    this.#answer = answer;
    this.#draw();
  }

  #draw(): void {
    const { which, log, color } = this.#params;
    const answer = this.#answer;
    const curve = answer?.series[0];
    this.#chart.element.hidden = which !== "d_histogram";
    this.#heat.element.hidden = which === "d_histogram";
    this.#note.textContent = answer?.title ?? "";
    if (which === "d_histogram") {
      this.#place.textContent = "";
      const bars = barsOf(curve?.x ?? [], curve?.y ?? []);
      const [y] = log ? positive(bars.y) : [bars.y];
      this.#chart.set({
        curves: curve === undefined ? [] : [{ ...strokeOf(0), ...drawn(bars.x, y), name: curve.name, unit: "", axis: "left", shown: true, steps: true }],
        x: `1/d (${unitWords(answer?.unit_x ?? "1/angstrom")})`, left: curve?.name ?? "", log, ...(log ? { low: 0.8 } : {}),
      });
      return;
    }
    if (!answer?.z || !answer.x || !answer.y) return this.#heat.set(null);
    // spots by intensity stand in bins of a constant ratio: drawn over their logarithm
    const peakogram = which === "peakogram";
    const y = answer.y.map((each) => (peakogram ? Math.log10(each ?? 1) : each ?? 0));
    const [, high] = extentOf(answer.z) ?? [0, 1];
    this.#heat.set({
      z: answer.z, x: axisOf(answer.x.map((each) => each ?? 0)), y: { ...axisOf(y), up: peakogram }, unit: text.plots.spots,
      wordsX: peakogram ? `1/d (${unitWords(answer.unit_x)})` : text.plots.fast, wordsY: peakogram ? text.plots.intensity : text.plots.slow,
      colors: color, low: log ? 1 : 0, high: Math.max(high, 2), log,
      ...(peakogram ? { tickY: (value: number) => short(Number((10 ** value).toPrecision(2))) } : {}),
    });
    this.#tell(this.#heat.cursor);
  }

  #tell(cell: Cell | null): void {
    const answer = this.#answer;
    if (cell === null || !answer?.z) {
      this.#place.textContent = "";
      return;
    }
    const peakogram = this.#params.which === "peakogram";
    const [x, y, value] = [answer.x?.[cell.column], answer.y?.[cell.row], answer.z[cell.row]?.[cell.column]];
    const at = peakogram
      ? `1/d ${withUnit(x, answer.unit_x)}, ${text.plots.intensity} ${withUnit(y, answer.unit_y)}`
      : `${text.plots.slow} ${short(y)}, ${text.plots.fast} ${short(x)}`;
    this.#place.textContent = `${at} · ${short(value)} ${text.plots.spots.toLowerCase()}`;
  }

  /** A place of the detector goes to the middle of the image. */
  #choose(cell: Cell): void {
    const answer = this.#answer;
    if (this.#params.which !== "powder" || !answer?.x || !answer.y) return;
    const [slow, fast] = [answer.y[cell.row] ?? 0, answer.x[cell.column] ?? 0];
    this.#app.store.part.value = centred(this.#app.store.part.value, slow, fast);
  }
}

/** The panel "histogram": how many pixels of the image that is shown have which value. */
import type { App } from "../app.ts";
import { csv as written } from "../csv.ts";
import { button, element } from "../dom.ts";
import { short } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import { color } from "../theme.ts";
import { Chart, strokeOf, type Mark } from "./chart.ts";
import { toggle } from "./controls.ts";
import { positive } from "./curves.ts";
import { paramsOf, type HistogramParams } from "./kinds.ts";
import { Refresh } from "./refresh.ts";

interface HistogramAnswer {
  series: string;
  image: number;
  layer?: string;
  region?: number[];
  edges: number[];
  counts: number[];
  unusable: number;
}

/** Values are drawn as arcsinh(value): the zero and negative ones stand beside those of a million. */
export const squeezed = (value: number): number => Math.asinh(value);

/** Ticks at 0, 1, 10, 100, ... and 3 times these, on either side. */
const TICKS = Array.from({ length: 10 }, (_, power) => [10 ** power, 3 * 10 ** power]).flat()
  .flatMap((each) => [-each, each]).concat(0).sort((a, b) => a - b).map(squeezed);

/** A part of the detector as the service takes it; null = the whole. */
export function partQuery(part: { slow0: number; slow1: number; fast0: number; fast1: number } | null, shape: readonly number[] | null): { slow?: string; fast?: string } {
  if (part === null || shape === null) return {};
  const limited = (low: number, high: number, size: number): string =>
    `${Math.min(Math.max(Math.floor(low), 0), size - 1)}:${Math.max(Math.min(Math.ceil(high), size), 1)}`;
  return { slow: limited(part.slow0, part.slow1, shape[0] ?? 1), fast: limited(part.fast0, part.fast1, shape[1] ?? 1) };
}

export class HistogramPanel implements Panel {
  #app: App;
  #params: HistogramParams;
  #answer: HistogramAnswer | null = null;
  #chart: Chart;
  #refresh: Refresh;
  #note = element("p", { class: "plots-note small soft", role: "status" });
  #stops: (() => void)[];

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("histogram", params);
    const log = toggle(text.plots.log, text.plots.logHelp, this.#params.log, (on) => {
      this.#params.log = on;
      this.#draw();
    });
    this.#chart = new Chart(app, { label: text.plots.histogram, log: () => log.click() });
    container.append(
      element(
        "div", { class: "toolbar plots-tools" }, log,
        toggle(text.plots.part, text.plots.partHelp, this.#params.part, (on) => {
          this.#params.part = on;
          this.#refresh.now(false);
        }),
        button(text.plots.reset, () => this.#chart.zoom(null), { title: text.plots.resetHelp }),
      ),
      this.#chart.element, this.#note,
    );
    this.#refresh = new Refresh(app, {
      ask: (signal) => this.#ask(signal),
      trouble: (words) => {
        if (words === null) return;
        this.#answer = null;
        this.#draw();
        this.#note.textContent = words;
      },
    }, false);
    let layer = app.store.look.value.layer;
    this.#stops = [
      app.store.image.follow(() => this.#refresh.soon(false)),
      app.store.part.follow(() => this.#params.part && this.#refresh.soon(false)),
      app.store.look.follow((look) => {
        if (look.layer === layer) return this.#draw();
        layer = look.layer;
        this.#refresh.now(false);
      }),
      followAll([app.store.theme] as never, () => this.#draw()),
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
    const answer = this.#answer;
    if (answer === null) return "";
    return written([
      { name: "from", unit: "count", values: answer.edges.slice(0, -1) }, { name: "to", unit: "count", values: answer.edges.slice(1) },
      { name: "pixels", values: answer.counts },
    ]);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const shown = this.#app.store.image.value;
    const { about, look, part } = this.#app.store;
    if (shown === null) this.#answer = null;
    else {
      const shape = about.value?.shape ?? this.#app.store.status.value?.series?.shape ?? null;
      // bits of a mask have no histogram: then counts are told
      const layer = look.value.layer === "mask" ? "counts" : look.value.layer;
      const region = this.#params.part ? partQuery(part.value, shape) : {};
      this.#answer = await this.#app.api.json<HistogramAnswer>(`images/${shown.number}/histogram`, {
        query: { series: shown.series, bins: this.#params.bins, layer, ...region }, signal,
      });
    }
    this.#draw();
  }

  #draw(): void {
    const answer = this.#answer;
    const { low, high, automatic } = this.#app.store.look.value;
    const marks: Mark[] = automatic ? [] : [low, high].map((at, index) => ({
      x: squeezed(at), color: color("accent"), words: `${index === 0 ? text.plots.dark : text.plots.bright} ${short(at)}`,
    }));
    const notes: string[] = [];
    if (answer === null) notes.push(text.plots.noImage);
    else {
      const pixels = answer.counts.reduce((sum, count) => sum + count, 0);
      notes.push(text.plots.histogramNote(answer.image, pixels, answer.unusable));
    }
    this.#note.textContent = notes.join(" · ");
    const counts = answer?.counts ?? [];
    const [y] = this.#params.log ? positive(counts) : [counts];
    const x = (answer?.edges ?? []).map(squeezed);
    this.#chart.set({
      curves: answer === null ? [] : [{
        ...strokeOf(0), name: text.plots.pixels, unit: "", axis: "left", shown: true, steps: true, x, y: [...y, y.at(-1) ?? null],
      }],
      marks, x: text.plots.value(answer?.layer ?? "counts"), left: text.plots.pixels, log: this.#params.log, ...(this.#params.log ? { low: 0.8 } : {}),
      ticksX: TICKS, tickX: (value) => short(Number(Math.sinh(value).toPrecision(3)), 3),
    });
  }
}

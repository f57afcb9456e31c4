/** The panel "profile": the background of the image that is shown, over resolution. */
import type { App } from "../app.ts";
import { csv as written } from "../csv.ts";
import { button, element } from "../dom.ts";
import { ICE } from "../image/spacings.ts";
import { short, unitWords } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import type { Shown } from "../store.ts";
import { text } from "../text.ts";
import { color } from "../theme.ts";
import { Chart, strokeOf, type Band, type ChartCurve, type Mark } from "./chart.ts";
import { choice, toggle } from "./controls.ts";
import { drawn, positive, type Numbers } from "./curves.ts";
import { paramsOf, type ProfileParams } from "./kinds.ts";
import { Refresh } from "./refresh.ts";

interface ProfileAnswer {
  series: string;
  image: number;
  q: Numbers;
  d: Numbers;
  two_theta_deg: Numbers;
  background: Numbers;
  spread: Numbers;
  pixels: Numbers;
  unit?: string;
}

type AxisName = ProfileParams["x"];

const COLUMN = { q: "q", d: "d", two_theta: "two_theta_deg" } as const;
const UNIT = { q: "1/angstrom", d: "angstrom", two_theta: "deg" } as const;

/** Where spacings stand on an axis; they are found in the columns of the answer, so that no wavelength is needed. */
export function placesOf(spacings: readonly number[], d: Numbers, along: Numbers): number[] {
  const pairs = d.flatMap((each, index) => {
    const at = along[index];
    return each === null || at === null || at === undefined ? [] : [[1 / each, at] as const];
  }).sort((a, b) => a[0] - b[0]);
  return spacings.flatMap((spacing) => {
    const index = pairs.findIndex(([s]) => s >= 1 / spacing);
    const [before, after] = [pairs[index - 1], pairs[index]];
    if (index < 1 || before === undefined || after === undefined) return [];
    const share = (1 / spacing - before[0]) / (after[0] - before[0]);
    return [before[1] + share * (after[1] - before[1])];
  });
}

export class ProfilePanel implements Panel {
  #app: App;
  #params: ProfileParams;
  #answer: ProfileAnswer | null = null;
  #pinned: ProfileAnswer | null = null;
  #chart: Chart;
  #refresh: Refresh;
  #pin: HTMLButtonElement;
  #note = element("p", { class: "plots-note small soft", role: "status" });
  #stop: () => void;

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("profile", params);
    const log = toggle(text.plots.log, text.plots.logHelp, this.#params.log, (on) => this.#change({ log: on }));
    this.#chart = new Chart(app, { label: text.plots.profile, log: () => log.click() });
    this.#pin = button(text.plots.pin, () => this.#togglePin(), { title: text.plots.pinHelp, set: { "aria-pressed": "false" } });
    container.append(
      element(
        "div", { class: "toolbar plots-tools" },
        choice<AxisName>(text.plots.axis, [["q", "q"], ["d", "d"], ["two_theta", "2θ"]], this.#params.x, (x) => {
          this.#chart.zoom(null);
          this.#change({ x });
        }),
        log,
        toggle(text.plots.spread, text.plots.spreadHelp, this.#params.spread, (spread) => this.#change({ spread })),
        toggle(text.plots.ice, text.plots.iceHelp, this.#params.ice, (ice) => this.#change({ ice })),
        this.#pin,
        button(text.plots.reset, () => this.#chart.zoom(null), { title: text.plots.resetHelp }),
      ),
      this.#chart.legend, this.#chart.element, this.#note,
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
    this.#stop = app.store.image.follow(() => this.#refresh.soon(false));
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
    this.#stop();
    this.#refresh.dispose();
    this.#chart.dispose();
  }

  csv(): string {
    return written([this.#answer, this.#pinned].flatMap((answer) => answer === null ? [] : [
      { name: `image ${answer.image} q`, unit: UNIT.q, values: answer.q },
      { name: `image ${answer.image} d`, unit: UNIT.d, values: answer.d },
      { name: `image ${answer.image} two_theta`, unit: UNIT.two_theta, values: answer.two_theta_deg },
      { name: `image ${answer.image} background`, unit: "count", values: answer.background },
      { name: `image ${answer.image} spread`, unit: "count", values: answer.spread },
      { name: `image ${answer.image} pixels`, values: answer.pixels },
    ]));
  }

  #change(fields: Partial<ProfileParams>): void {
    this.#params = { ...this.#params, ...fields };
    this.#draw();
  }

  #togglePin(): void {
    const pinned = this.#params.pinned === null ? this.#app.store.image.value : null;
    this.#params.pinned = pinned;
    this.#pinned = pinned === null ? null : this.#answer;
    this.#draw();
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const ask = ({ series, number }: Shown): Promise<ProfileAnswer> =>
      this.#app.api.json<ProfileAnswer>(`images/${number}/profile`, { query: { series }, signal });
    const { pinned } = this.#params;
    if (pinned !== null && this.#pinned === null) {
      try {
        this.#pinned = await ask(pinned);
      } catch (error) {
        this.#params.pinned = null;
        this.#app.fail(error);
      }
    }
    const shown = this.#app.store.image.value;
    this.#answer = shown === null ? null : await ask(shown);
    this.#draw();
  }

  #draw(): void {
    const { x, log, spread, ice, pinned } = this.#params;
    this.#pin.setAttribute("aria-pressed", String(pinned !== null));
    this.#pin.textContent = pinned === null ? text.plots.pin : text.plots.pinned(pinned.number);
    const curves: ChartCurve[] = [];
    const bands: Band[] = [];
    let out = 0;
    for (const [index, answer] of [this.#answer, this.#pinned].entries()) {
      if (answer === null) continue;
      const along = answer[COLUMN[x]];
      const { color: own } = strokeOf(index);
      const add = (name: string, values: Numbers, more: Partial<ChartCurve>): void => {
        const [y, lost] = log ? positive(values) : [values, 0];
        if (more.dash === undefined || index === 0) out += more.dash === undefined ? lost : 0;
        curves.push({ color: own, unit: "count", axis: "left", shown: true, ...more, ...drawn(along, y), name });
      };
      const name = index === 0 ? text.plots.imageName(answer.image) : text.plots.pinned(answer.image);
      add(name, answer.background, {});
      if (!spread || index > 0) continue;
      const offset = (sign: number): Numbers => answer.background.map((mean, at) => {
        const width = answer.spread[at];
        return mean === null || width === null || width === undefined ? null : mean + sign * width;
      });
      const faint = `color-mix(in srgb, ${own} 45%, transparent)`;
      add(text.plots.above, offset(1), { color: faint, dash: [2, 3] });
      add(text.plots.below, offset(-1), { color: faint, dash: [2, 3] });
      if (!log) bands.push({ upper: text.plots.above, lower: text.plots.below, color: `color-mix(in srgb, ${own} 14%, transparent)` });
    }
    const notes: string[] = [];
    if (this.#app.store.image.value === null) notes.push(text.plots.noImage);
    if (out > 0) notes.push(text.plots.notPositive(out));
    const answer = this.#answer;
    const marks: Mark[] = answer === null || !ice ? [] :
      placesOf(ICE, answer.d, answer[COLUMN[x]]).map((at) => ({ x: at, color: color("series-7"), dash: [3, 4] }));
    if (answer !== null && ice && marks.length > 0) notes.push(text.plots.iceNote(marks.length));
    this.#note.textContent = notes.join(" · ");
    this.#chart.set({
      curves, bands, marks, x: `${x === "two_theta" ? "2θ" : x} (${unitWords(UNIT[x])})`, left: text.plots.background, log,
      ...(x === "q" ? { tickX: (value: number) => short(value, 6) } : {}),
    });
  }
}

/** The panel "map": a quantity over the positions of a grid scan. */
import type { App } from "../app.ts";
import { csv as written } from "../csv.ts";
import { element } from "../dom.ts";
import { COLORS } from "../image/colors.ts";
import { short, withUnit } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import { calmly } from "../signal.ts";
import { text } from "../text.ts";
import { choice, numberField } from "./controls.ts";
import { Heat } from "./heat.ts";
import { paramsOf, titleOf, type MapParams } from "./kinds.ts";
import { axisOf, cellOf, extentOf, framed, imageOf, type Cell, type GridAnswer } from "./map_math.ts";
import { Refresh, seriesLookedAt } from "./refresh.ts";
import { showImage } from "./show.ts";

export class MapPanel implements Panel {
  #container: HTMLElement;
  #app: App;
  #params: MapParams;
  #answer: GridAnswer | null = null;
  #series: string | null = null;
  #heat: Heat;
  #refresh: Refresh;
  #quantity: HTMLSelectElement;
  #region: HTMLSelectElement;
  #place = element("p", { class: "plots-note small number", role: "status" });
  #note = element("p", { class: "plots-note small soft" });
  #stops: (() => void)[];

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#container = container;
    this.#app = app;
    this.#params = paramsOf("map", params);
    this.#heat = new Heat(app, {
      label: text.plots.map, point: (cell) => this.#tell(cell), choose: (cell) => this.#choose(cell),
    });
    const { quantity, best, color, low, high } = this.#params;
    this.#quantity = choice(text.plots.quantity, [[quantity, quantity]], quantity, (value) => this.#change({ quantity: value }));
    this.#region = choice(text.plots.region, [["", text.plots.firstRegion]], "", (value) => this.#change({ region: value === "" ? null : value }));
    container.append(
      element(
        "div", { class: "toolbar plots-tools" }, this.#quantity, this.#region,
        choice(text.plots.best, [["", text.plots.bestAuto], ["high", text.plots.bestHigh], ["low", text.plots.bestLow]], best ?? "",
          (value) => this.#change({ best: value === "" ? null : (value as "high" | "low") })),
        choice(text.plots.colors, COLORS.map((each) => [each, each]), color as (typeof COLORS)[number], (value) => this.#change({ color: value })),
        numberField(text.plots.low, text.plots.least, low, (value) => this.#change({ low: value })),
        numberField(text.plots.high, text.plots.most, high, (value) => this.#change({ high: value })),
      ),
      this.#heat.element, this.#place, this.#note,
    );
    this.#refresh = new Refresh(app, {
      ask: (signal) => this.#ask(signal),
      trouble: (words) => {
        if (words !== null) this.#clear(words);
      },
    });
    this.#stops = [
      app.store.image.follow(calmly(() => this.#draw())),
      app.store.streamed.follow(() => this.#answer === null && this.#refresh.soon(true)), // it tells what has a grid
    ];
    this.#offer().catch((error: unknown) => app.fail(error));
  }

  #clear(words: string): void {
    this.#answer = null;
    this.#heat.set(null);
    this.#place.textContent = "";
    this.#note.textContent = words;
  }

  params(): Params {
    return { ...this.#params };
  }

  seen(now: boolean): void {
    this.#refresh.seen(now);
  }

  focus(): void {
    this.#heat.element.focus();
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    this.#refresh.dispose();
    this.#heat.dispose();
  }

  /** A line for each cell. */
  csv(): string {
    const answer = this.#answer;
    if (answer === null) return "";
    const cells = answer.z.flatMap((line, row) => line.map((value, column) => ({ row, column, value })));
    return written([
      { name: "image", values: cells.map((cell) => imageOf(answer.order, cell)) },
      { name: "row", values: cells.map((cell) => cell.row) },
      { name: "column", values: cells.map((cell) => cell.column) },
      { name: "x", unit: "um", values: cells.map((cell) => answer.x[cell.column]) },
      { name: "y", unit: "um", values: cells.map((cell) => answer.y[cell.row]) },
      { name: this.#params.quantity, unit: answer.unit, values: cells.map((cell) => cell.value) },
    ]);
  }

  async #offer(): Promise<void> {
    const names = await this.#app.api.json<Record<string, string>>("plots");
    const offers = Object.keys(names).filter((name) => !["d_histogram", "powder", "peakogram"].includes(name));
    this.#quantity.replaceChildren(...offers.map((name) => element("option", { title: names[name] ?? "", set: { value: name } }, name)));
    this.#quantity.value = this.#params.quantity;
  }

  #change(fields: Partial<MapParams>): void {
    this.#params = { ...this.#params, ...fields };
    this.#app.panels.rename(this.#container, titleOf("map", this.params(), text.plots.map));
    if ("quantity" in fields) [this.#params.low, this.#params.high] = [null, null];
    if ("quantity" in fields || "region" in fields || "best" in fields) this.#refresh.now(true);
    else this.#draw();
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { quantity, region, best } = this.#params;
    this.#series = seriesLookedAt(this.#app);
    const { status, streamed } = this.#app.store;
    const info = [status.value?.series, ...streamed.value].find((each) => each?.series === this.#series);
    if (info?.gridded !== true) return this.#clear(text.plots.noGrid);
    const ofRegion = quantity.startsWith("roi_");
    this.#region.hidden = !ofRegion;
    if (ofRegion) await this.#offerRegions(signal);
    this.#answer = await this.#app.api.json<GridAnswer>(`grid/${encodeURIComponent(quantity)}`, {
      query: { series: this.#series, roi: ofRegion ? region : null, best }, signal,
    });
    this.#draw();
  }

  async #offerRegions(signal: AbortSignal): Promise<void> {
    const answer = await this.#app.api.json<{ series: { name: string }[] }>("plots/roi_pixels", { query: { series: this.#series, bin: 10 ** 9 }, signal });
    const names = answer.series.map((curve) => curve.name);
    this.#region.replaceChildren(...["", ...names].map((name) => element("option", { set: { value: name } }, name || text.plots.firstRegion)));
    this.#region.value = this.#params.region ?? "";
  }

  #draw(): void {
    const answer = this.#answer;
    if (answer === null) return;
    const extent = extentOf(answer.z);
    const low = this.#params.low ?? extent?.[0] ?? 0;
    const high = this.#params.high ?? extent?.[1] ?? 1;
    const x = axisOf(answer.x, answer.y.length > 1 ? Math.abs(answer.y[1]! - answer.y[0]!) : 1);
    const y = axisOf(answer.y, x.step);
    const shown = this.#app.store.image.value;
    const best = answer.best;
    this.#heat.set({
      z: answer.z, x, y, wordsX: "x (µm)", wordsY: "y (µm)", unit: answer.unit, colors: this.#params.color, low, high,
      best, centre: best !== null && best.x !== null && best.y !== null ? { x: best.x, y: best.y } : null,
      shown: shown !== null && shown.series === this.#series ? inside(answer, cellOf(answer.order, shown.number)) : null,
    });
    const notes = [];
    if (best === null) notes.push(text.plots.nothing);
    else {
      notes.push(text.plots.bestCell(
        withUnit(best.value, answer.unit), short(answer.x[best.column]), short(answer.y[best.row]), best.image ?? imageOf(answer.order, best),
      ));
      if (best.x !== null && best.y !== null) notes.push(text.plots.centre(short(best.x), short(best.y)));
    }
    if (answer.outside > 0) notes.push(text.plots.outside(answer.outside));
    if (!framed(x, y, { left: 0, top: 0, width: 400, height: 300 }).true) notes.push(text.plots.notToScale);
    this.#note.textContent = notes.join(" · ");
    this.#note.title = answer.title;
    this.#tell(this.#heat.cursor);
  }

  #tell(cell: Cell | null): void {
    const answer = this.#answer;
    if (answer === null || cell === null) {
      this.#place.textContent = answer === null ? "" : text.plots.mapHelp;
      return;
    }
    const value = answer.z[cell.row]?.[cell.column] ?? null;
    this.#place.textContent = text.plots.cell(
      imageOf(answer.order, cell), short(answer.x[cell.column]), short(answer.y[cell.row]), this.#params.quantity, withUnit(value, answer.unit),
    );
  }

  #choose(cell: Cell): void {
    if (this.#answer !== null) void showImage(this.#app, imageOf(this.#answer.order, cell), this.#series);
  }
}

function inside(answer: GridAnswer, cell: Cell): Cell | null {
  return cell.row < answer.y.length && cell.column < answer.x.length ? cell : null;
}

/** The panel "images": a row of results for each image of a series, of any number. */
import type { App } from "../app.ts";
import { csv as written } from "../csv.ts";
import { element } from "../dom.ts";
import { short } from "../numbers.ts";
import type { Panel, Params } from "../panels.ts";
import { calmly } from "../signal.ts";
import { Table, type Cell, type Order, type TableColumn, type TableRows } from "../table.ts";
import { text } from "../text.ts";
import { picker, toggle, type Offer } from "./controls.ts";
import { paramsOf, type ImagesParams } from "./kinds.ts";
import { PAGE, Pages } from "./pages.ts";
import { Refresh, seriesLookedAt } from "./refresh.ts";
import { showImage } from "./show.ts";

type Values = Record<string, (number | null | (number | null)[])[]>;

interface ResultsAnswer {
  series: string | null;
  ended: boolean;
  total: number;
  next: number | null;
  columns: Values;
  rois: Record<string, Values>;
  units: Record<string, string>;
}

/** What became of an image, as crystint.FrameStatus. */
const STATUS = ["ok", "missing", "vetoed", "skipped", "failed"];
const TIMES = ["t_start", "t_received", "t_done"];
/** rows of a CSV, at most: more are had from the files of the run */
const MOST_ROWS = 200_000;

/** Values of a column of an answer; `REGION:COLUMN` are those of a region. */
export function valueOf(answer: Pick<ResultsAnswer, "columns" | "rois">, column: string, row: number): Cell {
  const at = column.lastIndexOf(":");
  const values = at < 0 ? answer.columns[column] : answer.rois[column.slice(0, at)]?.[column.slice(at + 1)];
  const value = values?.[row];
  if (Array.isArray(value)) return value.map((each) => short(each)).join(" ");
  return value ?? null;
}

/** Whole numbers that are not known are -1, as the service has them. */
export function shownValue(column: string, value: Cell): string {
  if (column === "status") return typeof value === "number" ? STATUS[value] ?? String(value) : "";
  if (column === "hit") return value === 1 ? text.shell.yes : value === 0 ? text.shell.no : short(null);
  if (typeof value === "string") return value;
  if (typeof value !== "number") return short(null);
  if (value === -1 && column !== "angle" && !column.includes(":")) return short(null);
  if (TIMES.includes(column)) return new Date(value / 1e6).toISOString().slice(11, 23);
  return short(value);
}

export class ImagesPanel implements Panel {
  #app: App;
  #params: ImagesParams;
  #series: string | null = null;
  #table: Table;
  #pages = new Pages<ResultsAnswer>();
  #total = 0;
  #units: Record<string, string> = { frame: "" };
  #meanings: Record<string, string> = {};
  #turn = 0;
  #refresh: Refresh;
  #count = element("span", { class: "soft small number", role: "status" });
  #abort = new AbortController();
  #stop: () => void;

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("images", params);
    this.#table = new Table({
      label: text.plots.images, columns: this.#columns(), empty: text.plots.nothing,
      choose: (row) => this.#choose(row), sort: (sort) => this.#change({ sort }),
    });
    this.#table.order = this.#params.sort;
    container.append(
      element(
        "div", { class: "toolbar plots-tools" },
        toggle(text.plots.hits, text.plots.hitsHelp, this.#params.hits, (hits) => this.#change({ hits })),
        picker(text.plots.columns, text.plots.columnsHelp, () => this.#offers(), () => this.#params.columns,
          (columns) => this.#change({ columns }), (error) => app.fail(error)),
        this.#count,
      ),
      element("div", { class: "fill" }, this.#table.element),
    );
    this.#refresh = new Refresh(app, {
      ask: (signal, anew) => this.#ask(signal, anew),
      trouble: (words) => {
        if (words !== null) this.#count.textContent = words;
      },
    });
    this.#stop = app.store.image.follow(calmly(() => this.#table.refresh()));
  }

  params(): Params {
    return { ...this.#params };
  }

  seen(now: boolean): void {
    this.#refresh.seen(now);
  }

  focus(): void {
    this.#table.element.focus();
  }

  dispose(): void {
    this.#stop();
    this.#abort.abort();
    this.#refresh.dispose();
    this.#table.dispose();
  }

  /** All rows, those that are not on the screen as well. */
  async csv(): Promise<string> {
    const columns = this.#table.columns;
    const values: Cell[][] = columns.map(() => []);
    for (let skip = 0; skip < Math.min(this.#total, MOST_ROWS);) {
      const answer = await this.#page(skip, 5000, this.#abort.signal);
      const rows = answer.columns.frame?.length ?? 0;
      if (rows === 0) break;
      for (let row = 0; row < rows; row += 1) {
        for (const [index, column] of columns.entries()) values[index]?.push(valueOf(answer, column.id, row));
      }
      skip += rows;
    }
    if (this.#total > MOST_ROWS) this.#app.tell(text.plots.csvCut(MOST_ROWS, this.#total), "warning");
    return written(columns.map(({ id, unit = "" }, index) => ({ name: id, unit, values: values[index] ?? [] })));
  }

  #columns(): TableColumn[] {
    return ["frame", ...this.#params.columns.filter((name) => name !== "frame")].map((id): TableColumn => ({
      id, title: id === "frame" ? text.plots.imageColumn : id.replace(":", " "), unit: this.#units[id] ?? "", meaning: this.#meanings[id] ?? "",
      ...(TIMES.includes(id) ? { width: 104 } : id === "shells" ? { width: 130 } : id === "ice_rings" ? { width: 260 } : {}), show: (value) => (value === undefined ? text.shell.asked : shownValue(id, value)),
      ...(["status", "hit", "shells", "ice_rings"].includes(id) ? { kind: "text" as const } : {}),
    }));
  }

  async #offers(): Promise<Offer[]> {
    const names = await this.#app.api.json<Record<string, string>>("plots");
    const answer = await this.#app.api.json<ResultsAnswer>("results", { query: { series: this.#series, limit: 1, rois: true } });
    this.#units = { ...this.#units, ...answer.units };
    this.#meanings = names;
    const own = Object.keys(answer.columns).filter((id) => id !== "frame").map((id) => ({ id, words: id, meaning: names[id] ?? "", group: text.plots.images }));
    const regions = Object.entries(answer.rois).flatMap(([region, columns]) =>
      Object.keys(columns).map((column) => ({ id: `${region}:${column}`, words: column, meaning: names[`roi_${column}`] ?? "", group: region })));
    return [...own, ...regions];
  }

  #change(fields: Partial<ImagesParams>): void {
    this.#params = { ...this.#params, ...fields };
    if ("columns" in fields) this.#table.columns = this.#columns();
    else this.#table.toTop();
    this.#refresh.now(true);
  }

  /** The first rows again, and how many there are; all pages are asked for again when they are needed. */
  async #ask(signal: AbortSignal, anew: boolean): Promise<void> {
    const series = seriesLookedAt(this.#app);
    if (series !== this.#series) anew = true;
    this.#series = series;
    const turn = (this.#turn += 1);
    const answer = await this.#page(0, anew ? PAGE : 1, signal);
    if (turn !== this.#turn) return;
    const sorted = this.#params.sort !== null || this.#params.hits;
    const before = this.#total;
    this.#total = answer.total;
    if (anew || sorted || answer.total < before) this.#pages.clear();
    // the last page has more rows now
    else this.#pages.drop(Math.floor(Math.max(before - 1, 0) / PAGE));
    if (anew) this.#pages.put(0, answer);
    const units = { ...this.#units, ...answer.units };
    if (Object.keys(units).length !== Object.keys(this.#units).length) {
      this.#units = units;
      this.#table.columns = this.#columns();
    }
    this.#count.textContent = this.#params.hits ? text.plots.hitCount(this.#total) : text.plots.imageCount(this.#total);
    this.#table.rows = this.#rows();
  }

  #rows(): TableRows {
    return {
      length: this.#total,
      cell: (row, column) => {
        const page = this.#pages.of(row);
        return page === undefined ? undefined : valueOf(page[0], column, page[1]);
      },
      want: (first, last) => this.#want(first, last),
      mark: (row) => {
        const shown = this.#app.store.image.value;
        const page = this.#pages.of(row);
        const own = page !== undefined && shown !== null && shown.series === this.#series && page[0].columns.frame?.[page[1]] === shown.number;
        return own ? "shown" : "";
      },
    };
  }

  #want(first: number, last: number): void {
    for (const page of this.#pages.missing(first, last)) {
      const turn = this.#turn;
      this.#page(page * PAGE, PAGE, this.#abort.signal).then((answer) => {
        if (turn !== this.#turn) this.#pages.drop(page);
        else this.#pages.put(page, answer);
        this.#table.refresh();
      }, (error: unknown) => {
        this.#pages.drop(page);
        this.#app.fail(error);
      });
    }
  }

  async #page(skip: number, limit: number, signal: AbortSignal): Promise<ResultsAnswer> {
    const { columns, hits, sort } = this.#params;
    const own = columns.filter((name) => !name.includes(":"));
    const rois = own.length < columns.length;
    const order: Order | null = sort;
    return this.#app.api.json<ResultsAnswer>("results", {
      query: {
        series: this.#series, columns: own.join(","), rois, hits, skip, limit,
        sort: order === null ? "frame" : `${order.descending ? "-" : ""}${order.column}`,
      },
      signal,
    });
  }

  #choose(row: number): void {
    const page = this.#pages.of(row);
    const number = page?.[0].columns.frame?.[page[1]];
    if (typeof number === "number") void showImage(this.#app, number, this.#series);
  }
}

/** The panel "spots": those of the image that is shown. */
import type { App } from "../app.ts";
import type { Columns } from "../api_types.ts";
import { element } from "../dom.ts";
import type { Panel, Params } from "../panels.ts";
import { followAll } from "../signal.ts";
import { spotsThere } from "../spots_there.ts";
import { Table, type Cell, type TableColumn, type TableRows } from "../table.ts";
import { text } from "../text.ts";
import { choice, picker } from "./controls.ts";
import { paramsOf, type SpotsParams } from "./kinds.ts";
import { Refresh } from "./refresh.ts";
import { centred } from "./show.ts";

/** Names of the bits of `flags`, as crystint.PeakFlag has them. */
export const FLAGS = ["saturated", "masked", "edge", "ice", "persistent", "cut"] as const;

export function flagNames(bits: Cell): string {
  if (typeof bits !== "number") return "";
  return FLAGS.filter((_, bit) => (bits >> bit) & 1).join(", ");
}

/** Rows of the spots that have a flag, by their numbers in all of them; null = all. "" = those without any. */
export function chosenSpots(spots: Columns, flag: string | null): number[] {
  const flags = spots.flags ?? [];
  const count = Math.max(0, ...Object.values(spots).map((column) => column.length));
  const bit = FLAGS.indexOf(flag as (typeof FLAGS)[number]);
  return Array.from({ length: count }, (_, index) => index).filter((index) => {
    const bits = flags[index] ?? 0;
    if (flag === null) return true;
    return flag === "" ? bits === 0 : bit >= 0 && ((bits >> bit) & 1) === 1;
  });
}

const UNITS: Readonly<Record<string, string>> = {
  slow: "px", fast: "px", intensity: "count", sigma: "count", maximum: "count", background: "count", d: "angstrom", significance: "sigma",
};

interface SpotsAnswer {
  series: string;
  image: number;
  source?: "series" | "again";
  spots: Columns;
}

export class SpotsPanel implements Panel {
  #app: App;
  #params: SpotsParams;
  #own: SpotsAnswer | null = null;
  #spots: Columns = {};
  #chosen: number[] = [];
  #table: Table;
  #refresh: Refresh;
  #count = element("span", { class: "soft small number", role: "status" });
  #stops: (() => void)[];

  constructor(container: HTMLElement, app: App, params: Params) {
    this.#app = app;
    this.#params = paramsOf("spots", params);
    this.#table = new Table({
      label: text.plots.spots, columns: [], empty: text.plots.noSpots,
      select: (row) => this.#app.store.spot.value = row === null ? null : this.#chosen[row] ?? null,
      choose: (row) => this.#centre(row),
    });
    const filters = [["*", text.plots.allSpots], ["", text.plots.withoutFlag], ...FLAGS.map((each) => [each, each] as const)] as const;
    container.append(
      element(
        "div", { class: "toolbar plots-tools" },
        choice(text.plots.flag, filters, this.#params.flag ?? "*", (flag) => {
          this.#params.flag = flag === "*" ? null : flag;
          this.#draw();
        }),
        picker(text.plots.columns, text.plots.columnsHelp, async () => this.#names().map((id) => ({ id, words: id, meaning: UNITS[id] ?? "" })),
          () => this.#params.columns ?? this.#names(),
          (columns) => {
            this.#params.columns = columns;
            this.#table.columns = this.#columns();
          }, (error) => app.fail(error)),
        this.#count,
      ),
      element("div", { class: "fill" }, this.#table.element),
    );
    this.#refresh = new Refresh(app, {
      ask: (signal) => this.#ask(signal),
      trouble: (words) => {
        if (words === null) return;
        this.#own = null;
        this.#draw();
        this.#count.textContent = words;
      },
    }, false);
    this.#stops = [
      followAll([app.store.image, app.store.spots] as never, () => this.#refresh.soon(false)),
      app.store.spot.follow((spot) => this.#follow(spot)),
    ];
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
    for (const stop of this.#stops) stop();
    this.#refresh.dispose();
    this.#table.dispose();
  }

  csv(): string {
    return this.#table.csv();
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { image, mode, spots } = this.#app.store;
    const shown = image.value;
    // while live they come with the picture
    const none = mode.value === "live" || (shown !== null && !spotsThere(this.#app.store, shown.series));
    if (spots.value !== null || none) this.#own = shown === null ? null : { series: shown.series, image: shown.number, spots: spots.value ?? {} };
    else if (shown === null) this.#own = null;
    else if (this.#own?.image !== shown.number || this.#own.series !== shown.series) {
      this.#own = await this.#app.api.json<SpotsAnswer>(`images/${shown.number}/spots`, { query: { series: shown.series }, signal });
    }
    this.#draw();
  }

  #names(): string[] {
    return ["number", ...Object.keys(this.#spots)];
  }

  #columns(): TableColumn[] {
    const wanted = this.#params.columns;
    return this.#names().filter((name) => wanted === null || wanted.includes(name)).map((id): TableColumn => ({
      id, title: text.plots.spotColumns[id as keyof typeof text.plots.spotColumns] ?? id, unit: UNITS[id] ?? "",
      ...(id === "flags" ? { width: 120 } : id === "number" ? { width: 44 } : {}),
      ...(id === "flags" ? { kind: "text" as const, show: flagNames } : {}),
      ...(id === "slow" || id === "fast" ? { show: (value: Cell) => (typeof value === "number" ? value.toFixed(2) : "–") } : {}),
    }));
  }

  #draw(): void {
    const before = this.#names().join();
    this.#spots = this.#own?.spots ?? this.#app.store.spots.value ?? {};
    this.#chosen = chosenSpots(this.#spots, this.#params.flag);
    if (before !== this.#names().join() || this.#table.columns.length === 0) this.#table.columns = this.#columns();
    const chosen = this.#chosen;
    const spots = this.#spots;
    const rows: TableRows = {
      length: chosen.length,
      cell: (row, column) => (column === "number" ? chosen[row] : spots[column]?.[chosen[row] ?? -1] ?? null),
    };
    this.#table.rows = rows;
    const all = Math.max(0, ...Object.values(spots).map((column) => column.length));
    const image = this.#app.store.image.value?.number;
    const again = this.#own?.source === "again" ? ` · ${text.plots.again}` : "";
    this.#count.textContent = image === undefined ? text.plots.noImage : text.plots.spotCount(image, all, chosen.length) + again;
    this.#follow(this.#app.store.spot.value);
  }

  #follow(spot: number | null): void {
    const row = spot === null ? -1 : this.#chosen.indexOf(spot);
    this.#table.selected = row < 0 ? null : row;
  }

  #centre(row: number): void {
    const spot = this.#chosen[row];
    const [slow, fast] = [this.#spots.slow?.[spot ?? -1], this.#spots.fast?.[spot ?? -1]];
    if (slow === null || slow === undefined || fast === null || fast === undefined) return;
    this.#app.store.part.value = centred(this.#app.store.part.value, slow, fast);
  }
}

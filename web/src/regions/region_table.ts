/** The table of the regions: what they are, and what is measured in them. */
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { short, UNKNOWN } from "../numbers.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { Book } from "./book.ts";
import { colorOf, hidden, setHidden } from "./looks.ts";
import { named, same, type Region, type Regions } from "./region.ts";
import { sparkline, type Sparkline } from "./sparkline.ts";
import { COLUMNS, type Values } from "./values.ts";
import { described } from "./words.ts";

/** Columns of the table; the details of the selected region have all of them. */
const SHOWN = COLUMNS.slice(0, 6);
/** significant ones of what has a fraction */
const DIGITS = 4;

interface Line {
  readonly region: Region;
  readonly row: HTMLTableRowElement;
  readonly cells: Readonly<Record<string, HTMLElement>>;
  readonly trend: Sparkline;
  readonly visible: HTMLInputElement;
}

export class RegionTable {
  readonly element: HTMLElement;
  #app: App;
  #book: Book;
  #values: Values;
  #body = element("tbody");
  #lines: Line[] = [];
  #stops: (() => void)[];

  constructor(app: App, book: Book, values: Values) {
    this.#app = app;
    this.#book = book;
    this.#values = values;
    const heads = [
      element("th", { class: "region-eye", label: text.regions.visible }, ""),
      element("th", {}, text.regions.name),
      element("th", { class: "number" }, text.regions.pixels),
      ...SHOWN.map(({ title, unit, meaning }) =>
        element("th", { class: "number", title: meaning }, title, ...(unit === "" ? [] : [element("span", { class: "region-unit" }, unit)]))),
      element("th", { title: text.regions.trendMeaning }, text.regions.trend),
      element("th", {}, text.regions.where),
    ];
    const table = element(
      "table", { class: "table region-table", label: text.regions.title, role: "grid" },
      element("thead", {}, element("tr", {}, ...heads)), this.#body,
    );
    this.element = element("div", { class: "region-scroll" }, table);
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    this.#stops = [
      followAll([book.regions] as never, () => this.#build(), true),
      followAll([values.measured, book.details, app.store.region, hidden] as never, () => this.#fill(), true),
    ];
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #build(): void {
    const regions = this.#book.regions.value;
    const focused = this.#lines.find(({ row }) => row.contains(document.activeElement))?.region.name;
    const before = this.#lines;
    this.#lines = regions.map((region, n) => {
      const old = before[n];
      return old !== undefined && same(old.region, region) ? old : this.#line(regions, region);
    });
    if (this.#lines.length === 0) {
      const cell = element("td", { class: "empty", set: { colspan: String(5 + SHOWN.length) } }, text.regions.none);
      this.#body.replaceChildren(element("tr", {}, cell));
    } else this.#body.replaceChildren(...this.#lines.map(({ row }) => row));
    this.#fill();
    if (focused !== undefined) this.#lines.find(({ region }) => region.name === focused)?.row.focus();
  }

  #line(regions: Regions, region: Region): Line {
    const visible = element("input", { type: "checkbox", label: text.regions.show(region.name) });
    visible.addEventListener("change", () => setHidden(region.name, !visible.checked));
    const color = colorOf(regions, region);
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = color;
    const cells = Object.fromEntries(["pixels", ...SHOWN.map(({ name }) => name)].map((name) => [name, element("td", { class: "number" }, UNKNOWN)]));
    const trend = sparkline(72, 18, color);
    const row = element(
      "tr", { set: { "data-region": region.name, "aria-selected": "false", tabindex: "-1" } },
      element("td", { class: "region-eye" }, visible),
      element("th", { set: { scope: "row" } }, swatch, " ", region.name),
      ...Object.values(cells),
      element("td", {}, trend.element),
      element("td", { class: "region-where" }, described(region)),
    );
    row.addEventListener("click", (event) => {
      if (event.target !== visible) this.#app.store.region.value = region.name;
    });
    row.addEventListener("focus", () => {
      this.#app.store.region.value = region.name;
    });
    return { region, row, cells, trend, visible };
  }

  #fill(): void {
    const { rows, trends } = this.#values.measured.value;
    const selected = this.#app.store.region.value;
    const there = named(this.#book.regions.value, selected) !== null;
    for (const [n, { region, row, cells, trend, visible }] of this.#lines.entries()) {
      const detail = this.#book.details.value[region.name];
      const own = region.name === selected;
      row.setAttribute("aria-selected", String(own));
      row.tabIndex = own || (!there && n === 0) ? 0 : -1;
      visible.checked = !hidden.value.has(region.name);
      trend.show(trends[region.name] ?? []);
      const pixels = cells.pixels as HTMLElement;
      pixels.textContent = detail === undefined ? UNKNOWN : `${detail.clipped ? "✂ " : ""}${detail.pixels}`;
      pixels.title = detail?.problem ?? (detail?.clipped === true ? text.regions.clipped : "");
      pixels.classList.toggle("warn", detail?.problem !== undefined || detail?.clipped === true);
      for (const { name } of SHOWN) (cells[name] as HTMLElement).textContent = short(rows[region.name]?.[name], DIGITS);
    }
  }

  #key(event: KeyboardEvent): void {
    const at = this.#lines.findIndex(({ row }) => row === event.target);
    if (at < 0 || event.ctrlKey || event.altKey) return;
    const next = event.key === "ArrowDown" ? at + 1 : event.key === "ArrowUp" ? at - 1 : event.key === "Home" ? 0 : event.key === "End" ? this.#lines.length - 1 : null;
    if (next !== null) this.#lines[Math.min(Math.max(next, 0), this.#lines.length - 1)]?.row.focus();
    else if (event.key === " ") {
      const line = this.#lines[at] as Line;
      setHidden(line.region.name, !hidden.value.has(line.region.name));
    } else return;
    event.preventDefault();
  }
}

/** A table of any length: the rows that are on the screen are in the document, and no others. */
import { csv, type Cell } from "./csv.ts";
import { element } from "./dom.ts";
import { short, unitWords } from "./numbers.ts";
import { text } from "./text.ts";

export type { Cell } from "./csv.ts";

export interface TableColumn {
  id: string;
  title: string;
  unit?: string;
  /** said when the pointer rests on the title */
  meaning?: string;
  kind?: "number" | "text";
  /** px */
  width?: number;
  /** text of a cell; without it numbers are told in short */
  show?(value: Cell): string;
}

export interface TableRows {
  readonly length: number;
  /** undefined = it is being asked for */
  cell(row: number, column: string): Cell;
  /** rows from `first` to before `last` come on the screen */
  want?(first: number, last: number): void;
  /** further class of a row */
  mark?(row: number): string;
}

export interface Order {
  column: string;
  descending: boolean;
}

export interface TableOptions {
  /** accessible name */
  label: string;
  columns: readonly TableColumn[];
  /** said where there is no row */
  empty: string;
  /** a row is gone to: by the arrows or a click */
  select?(row: number | null): void;
  /** a row is opened: by Enter or a click */
  choose?(row: number): void;
  /** another order is wanted. Without it rows are sorted here. */
  sort?(order: Order | null): void;
}

/** Rows made of columns. */
export function rowsOf(columns: Readonly<Record<string, ArrayLike<Cell>>>): TableRows {
  const lengths = Object.values(columns).map((column) => column.length);
  return { length: Math.max(0, ...lengths), cell: (row, column) => columns[column]?.[row] };
}

export const ROW_HEIGHT = 22;
/** px: browsers draw nothing that is much higher */
export const HIGHEST = 8_000_000;

export interface Window {
  /** the first row on the screen, and the one behind the last */
  first: number;
  last: number;
  /** px, of the first one from the top of all rows */
  offset: number;
}

/** px of all rows */
export function heightOf(count: number): number {
  return Math.min(count * ROW_HEIGHT, HIGHEST);
}

/** Which rows are seen. Where all rows are higher than a browser can draw, the scroll bar tells the share of them. */
export function windowOf(scroll: number, seen: number, count: number): Window {
  const height = heightOf(count);
  const most = Math.max(height - seen, 0);
  const top = Math.min(Math.max(scroll, 0), most);
  const exact = height === count * ROW_HEIGHT ? top / ROW_HEIGHT : (top / most) * (count - seen / ROW_HEIGHT);
  const first = Math.min(Math.floor(exact), Math.max(count - 1, 0));
  const last = Math.min(first + Math.ceil(seen / ROW_HEIGHT) + 1, count);
  return { first, last, offset: top - (exact - first) * ROW_HEIGHT };
}

/** The place of the scroll bar at which a row is seen; `scroll` itself where it is seen already. */
export function scrollTo(row: number, scroll: number, seen: number, count: number): number {
  const height = heightOf(count);
  const exact = height === count * ROW_HEIGHT;
  const share = exact ? 1 : (height - seen) / (count * ROW_HEIGHT - seen);
  const top = row * ROW_HEIGHT * share;
  const bottom = Math.max(((row + 1) * ROW_HEIGHT - seen) * share, 0);
  if (scroll > top) return top;
  return scroll < bottom ? bottom : scroll;
}

/** Numbers of the rows by the values of a column; rows without a value come last in either order. */
export function sortedRows(rows: TableRows, order: Order | null): Int32Array | null {
  if (order === null) return null;
  const values = Array.from({ length: rows.length }, (_, row) => rows.cell(row, order.column));
  const missing = (value: Cell): boolean => value === null || value === undefined || Number.isNaN(value);
  const sign = order.descending ? -1 : 1;
  return Int32Array.from(values.keys()).sort((a, b) => {
    const [one, other] = [values[a], values[b]];
    if (missing(one) || missing(other)) return Number(missing(one)) - Number(missing(other)) || a - b;
    if (typeof one === "string" || typeof other === "string") {
      return sign * String(one).localeCompare(String(other), "en", { numeric: true }) || a - b;
    }
    return sign * (Number(one) - Number(other)) || a - b;
  });
}

/** px that the title of a column needs, about */
function widthOf({ title, unit = "", kind }: TableColumn): number {
  return Math.max(32 + 7.8 * title.length + 7 * unitWords(unit).length, kind === "text" ? 90 : 64);
}

let tables = 0;

export class Table {
  readonly element: HTMLElement;
  #options: TableOptions;
  #columns: readonly TableColumn[];
  #rows: TableRows = { length: 0, cell: () => null };
  #order: Order | null = null;
  #places: Int32Array | null = null;
  #selected: number | null = null;
  #head = element("div", { class: "table-row table-head", role: "row", set: { "aria-rowindex": "1" } });
  #space = element("div", { class: "table-space", role: "rowgroup" });
  #empty = element("p", { class: "table-empty" });
  #pool: HTMLElement[] = [];
  #watch: ResizeObserver;
  #id = `table-${(tables += 1)}`;
  #waiting = 0;

  constructor(options: TableOptions) {
    this.#options = options;
    this.#columns = options.columns;
    this.#empty.textContent = options.empty;
    this.element = element(
      "div", { class: "long-table", role: "grid", label: options.label, set: { tabindex: "0", "data-keys": "table" } },
      this.#head, this.#space, this.#empty,
    );
    this.element.addEventListener("scroll", () => this.refresh(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.#watch = new ResizeObserver(() => this.refresh());
    this.#watch.observe(this.element);
    this.#makeHead();
  }

  get columns(): readonly TableColumn[] {
    return this.#columns;
  }

  set columns(columns: readonly TableColumn[]) {
    this.#columns = columns;
    if (this.#order !== null && !columns.some((column) => column.id === this.#order?.column)) this.order = null;
    for (const row of this.#pool) row.remove();
    this.#pool = [];
    this.#makeHead();
    this.refresh();
  }

  get rows(): TableRows {
    return this.#rows;
  }

  /** Other rows, or the same ones with other values. */
  set rows(rows: TableRows) {
    this.#rows = rows;
    this.#sort();
    if (this.#selected !== null && this.#selected >= rows.length) this.#selected = null;
    this.refresh();
  }

  get order(): Order | null {
    return this.#order;
  }

  set order(order: Order | null) {
    this.#order = order;
    this.#sort();
    this.#makeHead();
    this.refresh();
  }

  /** number of the row, as `rows` has it */
  get selected(): number | null {
    return this.#selected;
  }

  /** Select a row and make it seen; `options.select` is not called. */
  set selected(row: number | null) {
    if (row === this.#selected) return;
    this.#selected = row !== null && row >= 0 && row < this.#rows.length ? row : null;
    if (this.#selected !== null) this.#reveal(this.#placeOf(this.#selected));
    this.refresh();
  }

  /** Show the first rows, of another order or choice. */
  toTop(): void {
    this.element.scrollTop = 0;
  }

  /** Draw again, once in a frame: cells have come or changed. */
  refresh(): void {
    if (this.#waiting !== 0) return;
    this.#waiting = requestAnimationFrame(() => {
      this.#waiting = 0;
      this.#draw();
    });
  }

  /** What is in the table, in its order. */
  csv(): string {
    const places = Array.from({ length: this.#rows.length }, (_, place) => this.#places?.[place] ?? place);
    return csv(this.#columns.map(({ id, title, unit = "" }) => ({
      name: title, unit, values: places.map((row) => this.#rows.cell(row, id)),
    })));
  }

  dispose(): void {
    this.#watch.disconnect();
    cancelAnimationFrame(this.#waiting);
    this.element.remove();
  }

  #sort(): void {
    this.#places = this.#options.sort === undefined ? sortedRows(this.#rows, this.#order) : null;
  }

  #placeOf(row: number): number {
    return this.#places === null ? row : this.#places.indexOf(row);
  }

  get #seen(): number {
    return Math.max(this.element.clientHeight - ROW_HEIGHT, 0);
  }

  #reveal(place: number): void {
    const top = scrollTo(place, this.element.scrollTop, this.#seen, this.#rows.length);
    if (top !== this.element.scrollTop) this.element.scrollTop = top;
  }

  #makeHead(): void {
    const widths = this.#columns.map((column) => `minmax(${column.width ?? widthOf(column)}px, ${column.width ?? widthOf(column)}fr)`);
    this.element.style.setProperty("--table-columns", widths.join(" "));
    const focused = this.#head.querySelector(":focus")?.getAttribute("data-column");
    this.#head.replaceChildren(...this.#columns.map((column, number) => {
      const sorted = this.#order?.column === column.id ? (this.#order.descending ? "descending" : "ascending") : "none";
      const name = element(
        "button", { type: "button", title: column.meaning ?? "", set: { "data-column": column.id, tabindex: number === 0 ? "0" : "-1" } },
        element("span", {}, column.title),
        element("span", { class: "unit" }, column.unit ? ` ${unitWords(column.unit)}` : ""),
        element("span", { class: "sorted", set: { "aria-hidden": "true" } }, { none: "", ascending: "▲", descending: "▼" }[sorted]),
      );
      return element("div", { class: column.kind ?? "number", role: "columnheader", set: { "aria-sort": sorted } }, name);
    }));
    if (focused) this.#head.querySelector<HTMLElement>(`[data-column="${CSS.escape(focused)}"]`)?.focus();
    this.element.setAttribute("aria-colcount", String(this.#columns.length));
  }

  #sortBy(column: string): void {
    const now = this.#order;
    const order = now?.column !== column ? { column, descending: false } : now.descending ? null : { column, descending: true };
    this.order = order;
    this.#options.sort?.(order);
  }

  #clicked(event: MouseEvent): void {
    const target = event.target as Element;
    const title = target.closest<HTMLElement>("[data-column]");
    if (title !== null) return this.#sortBy(title.dataset.column ?? "");
    const line = target.closest<HTMLElement>("[data-row]");
    if (line === null) return;
    this.#goTo(Number(line.dataset.row));
    if (this.#selected !== null) this.#options.choose?.(this.#selected);
  }

  #goTo(place: number): void {
    if (this.#rows.length === 0) return;
    const at = Math.min(Math.max(place, 0), this.#rows.length - 1);
    this.#reveal(at);
    this.#selected = this.#places?.[at] ?? at;
    this.#options.select?.(this.#selected);
    this.refresh();
  }

  #pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const title = (event.target as Element).closest<HTMLElement>("[data-column]");
    if (title !== null) {
      const titles = [...this.#head.querySelectorAll<HTMLElement>("[data-column]")];
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      titles[titles.indexOf(title) + step]?.focus();
      return;
    }
    const page = Math.max(Math.floor(this.#seen / ROW_HEIGHT) - 1, 1);
    const now = this.#selected === null ? -1 : this.#placeOf(this.#selected);
    const places: Record<string, number> = {
      ArrowDown: now + 1, ArrowUp: Math.max(now - 1, 0), PageDown: now + page, PageUp: Math.max(now - page, 0),
      Home: 0, End: this.#rows.length - 1,
    };
    const place = places[event.key];
    if (place !== undefined) {
      event.preventDefault();
      this.#goTo(place);
    } else if (event.key === "Enter" && this.#selected !== null && this.#options.choose !== undefined) {
      event.preventDefault();
      this.#options.choose(this.#selected);
    }
  }

  #draw(): void {
    const count = this.#rows.length;
    this.#empty.hidden = count > 0;
    this.#space.style.height = `${heightOf(count)}px`;
    this.element.setAttribute("aria-rowcount", String(count + 1));
    if (this.element.clientHeight === 0) return;
    const { first, last, offset } = windowOf(this.element.scrollTop, this.#seen, count);
    if (last > first && this.#places === null) this.#rows.want?.(first, last);
    while (this.#pool.length < last - first) this.#pool.push(this.#makeRow());
    for (const [index, line] of this.#pool.entries()) {
      const place = first + index;
      line.hidden = place >= last;
      if (place < last) this.#fill(line, place, offset + index * ROW_HEIGHT);
    }
    const active = this.#selected === null ? -1 : this.#placeOf(this.#selected);
    if (active >= first && active < last) this.element.setAttribute("aria-activedescendant", `${this.#id}-${active - first}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #makeRow(): HTMLElement {
    const cells = this.#columns.map((column) => element("div", { class: column.kind ?? "number", role: "gridcell" }));
    const line = element("div", { class: "table-row", role: "row", id: `${this.#id}-${this.#pool.length}` }, ...cells);
    this.#space.append(line);
    return line;
  }

  #fill(line: HTMLElement, place: number, top: number): void {
    const row = this.#places?.[place] ?? place;
    line.style.transform = `translateY(${top}px)`;
    line.dataset.row = String(place);
    line.setAttribute("aria-rowindex", String(place + 2));
    line.setAttribute("aria-selected", String(row === this.#selected));
    line.className = `table-row ${place % 2 === 1 ? "odd" : ""} ${this.#rows.mark?.(row) ?? ""}`;
    for (const [index, column] of this.#columns.entries()) {
      const cell = line.children[index] as HTMLElement;
      const words = this.#wordsOf(column, this.#rows.cell(row, column.id));
      if (cell.textContent !== words) cell.textContent = words;
      const exact = this.#rows.cell(row, column.id);
      const full = typeof exact === "number" && String(exact) !== words ? String(exact) : "";
      if (cell.title !== full) cell.title = full;
    }
  }

  #wordsOf(column: TableColumn, value: Cell): string {
    if (value === undefined) return text.shell.asked;
    if (column.show !== undefined) return column.show(value);
    if (value === null || typeof value === "number") return short(value);
    return typeof value === "boolean" ? (value ? text.shell.yes : text.shell.no) : value;
  }
}

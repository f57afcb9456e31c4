/** Rows that are asked for in pages, when they come on the screen. */

export const PAGE = 250;

/** The last pages that were asked for. */
export class Pages<T> {
  #pages = new Map<number, T | null>();
  #most: number;

  constructor(most = 24) {
    this.#most = most;
  }

  /** Pages of the rows from `first` to before `last` that are not there, and were not asked for yet. They are noted. */
  missing(first: number, last: number): number[] {
    const made: number[] = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (this.#pages.has(page)) continue;
      this.#pages.set(page, null);
      made.push(page);
    }
    return made;
  }

  put(page: number, values: T): void {
    this.#pages.delete(page);
    this.#pages.set(page, values);
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= this.#most) break;
      this.#pages.delete(oldest);
    }
  }

  /** A page could not be had: it may be asked for again. */
  drop(page: number): void {
    this.#pages.delete(page);
  }

  /** The page of a row, and the row's place in it; undefined = it is not there. */
  of(row: number): [T, number] | undefined {
    const page = this.#pages.get(Math.floor(row / PAGE));
    return page === null || page === undefined ? undefined : [page, row % PAGE];
  }

  get size(): number {
    return this.#pages.size;
  }

  clear(): void {
    this.#pages.clear();
  }
}

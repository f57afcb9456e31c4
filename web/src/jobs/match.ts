/** Which spots of two lists are the same: pairs no more than `REACH` px apart, the nearest first, each spot in one pair. */
import type { Columns } from "../api_types.ts";

/** px between the centroids */
export const REACH = 2;

export interface Places {
  readonly slow: ArrayLike<number | null>;
  readonly fast: ArrayLike<number | null>;
}

export interface Difference {
  /** indices of the spots of A, of B, and of A in pairs with those of B */
  onlyA: number[];
  onlyB: number[];
  both: [a: number, b: number][];
}

/** The difference of some spots of A and of B: from `first` to before `last` of each. */
export function difference(a: Places, b: Places, ofA: readonly [number, number] = [0, a.slow.length], ofB: readonly [number, number] = [0, b.slow.length]): Difference {
  const cells = new Map<string, number[]>();
  for (let index = ofB[0]; index < ofB[1]; index += 1) {
    const key = cellOf(b, index, 0, 0);
    const cell = cells.get(key);
    if (cell === undefined) cells.set(key, [index]);
    else cell.push(index);
  }
  const pairs: [distance: number, a: number, b: number][] = [];
  for (let index = ofA[0]; index < ofA[1]; index += 1) {
    for (let slow = -1; slow <= 1; slow += 1) {
      for (let fast = -1; fast <= 1; fast += 1) {
        for (const other of cells.get(cellOf(a, index, slow, fast)) ?? []) {
          const distance = Math.hypot(a.slow[index]! - b.slow[other]!, a.fast[index]! - b.fast[other]!);
          if (distance <= REACH) pairs.push([distance, index, other]);
        }
      }
    }
  }
  pairs.sort((one, other) => one[0] - other[0] || one[1] - other[1] || one[2] - other[2]);
  const usedA = new Set<number>(), usedB = new Set<number>();
  const both: [number, number][] = [];
  for (const [, one, other] of pairs) {
    if (usedA.has(one) || usedB.has(other)) continue;
    usedA.add(one);
    usedB.add(other);
    both.push([one, other]);
  }
  return { onlyA: rest(ofA, usedA), onlyB: rest(ofB, usedB), both: both.sort((one, other) => one[0] - other[0]) };
}

function cellOf(places: Places, index: number, slow: number, fast: number): string {
  return `${Math.floor(places.slow[index]! / REACH) + slow} ${Math.floor(places.fast[index]! / REACH) + fast}`;
}

function rest([first, last]: readonly [number, number], used: ReadonlySet<number>): number[] {
  const made: number[] = [];
  for (let index = first; index < last; index += 1) if (!used.has(index)) made.push(index);
  return made;
}

/** Some rows of columns. */
export function rowsOf(columns: Columns, indices: readonly number[]): Columns {
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, indices.map((index) => values[index] ?? null)]));
}

/** As `difference` takes them. */
export function placesOf(columns: Columns): Places {
  return { slow: columns.slow ?? [], fast: columns.fast ?? [] };
}

/** Spots of many images, in the order of these. */
export interface AllSpots extends Places {
  readonly frame: ArrayLike<number | bigint>;
}

/** Those of some images. */
export function onlyOf(spots: AllSpots, images: ReadonlySet<number>): AllSpots {
  const rows = Array.from({ length: spots.slow.length }, (_, at) => at).filter((at) => images.has(Number(spots.frame[at])));
  return { frame: rows.map((at) => spots.frame[at]!) as ArrayLike<number>, slow: rows.map((at) => spots.slow[at]!), fast: rows.map((at) => spots.fast[at]!) };
}

export interface Totals {
  a: number;
  b: number;
  onlyA: number;
  onlyB: number;
  both: number;
  /** images on which one of them has spots */
  images: number;
}

/** The difference over all images. */
export function totals(a: AllSpots, b: AllSpots): Totals {
  const made: Totals = { a: a.slow.length, b: b.slow.length, onlyA: 0, onlyB: 0, both: 0, images: 0 };
  let atA = 0, atB = 0;
  while (atA < a.slow.length || atB < b.slow.length) {
    const image = Math.min(atA < a.slow.length ? Number(a.frame[atA]) : Infinity, atB < b.slow.length ? Number(b.frame[atB]) : Infinity);
    const endA = endOf(a, atA, image), endB = endOf(b, atB, image);
    const parts = difference(a, b, [atA, endA], [atB, endB]);
    made.onlyA += parts.onlyA.length;
    made.onlyB += parts.onlyB.length;
    made.both += parts.both.length;
    made.images += 1;
    [atA, atB] = [endA, endB];
  }
  return made;
}

function endOf(spots: AllSpots, at: number, image: number): number {
  let end = at;
  while (end < spots.slow.length && Number(spots.frame[end]) === image) end += 1;
  return end;
}

/** Columns of application/octet-stream, as X-Columns names them: `name:<f8:count`, one after the other. */
export function unpackColumns(header: string, bytes: ArrayBuffer): Record<string, ArrayLike<number | bigint>> {
  const made: Record<string, ArrayLike<number | bigint>> = {};
  let offset = 0;
  for (const part of header.split(", ")) {
    const [name = "", type = "", length = "0"] = part.split(":");
    const make = ARRAYS[type];
    if (make === undefined) throw new Error(`a column of ${type} is not known here`);
    const count = Number(length), size = count * Number(type.slice(2));
    made[name] = make(bytes.slice(offset, offset + size));
    offset += size;
  }
  return made;
}

const ARRAYS: Record<string, (bytes: ArrayBuffer) => ArrayLike<number | bigint>> = {
  "<f4": (bytes) => new Float32Array(bytes),
  "<f8": (bytes) => new Float64Array(bytes),
  "<i4": (bytes) => new Int32Array(bytes),
  "<i8": (bytes) => new BigInt64Array(bytes),
  "<u2": (bytes) => new Uint16Array(bytes),
  "<u4": (bytes) => new Uint32Array(bytes),
};

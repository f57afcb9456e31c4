/** Regions of interest as the service's document has them, and changes of a document. Pure. */

interface Named {
  readonly name: string;
}

export interface Box extends Named {
  readonly type: "box";
  /** numbers of pixels, both ends among them */
  readonly slow_min: number;
  readonly slow_max: number;
  readonly fast_min: number;
  readonly fast_max: number;
}

export interface Circle extends Named {
  readonly type: "circle";
  /** slow, fast px */
  readonly center: readonly [number, number];
  readonly radius: number;
}

export interface Azimuthal extends Named {
  readonly type: "azimuthal";
  /** 1/angstrom; or d_min and d_max in angstrom */
  readonly q_min?: number;
  readonly q_max?: number;
  readonly d_min?: number;
  readonly d_max?: number;
  readonly phi_min_deg?: number;
  readonly phi_max_deg?: number;
}

export interface Polygon extends Named {
  readonly type: "polygon";
  /** slow, fast px each */
  readonly corners: readonly (readonly [number, number])[];
}

export interface Bitmap extends Named {
  readonly type: "bitmap";
  readonly shape: readonly [number, number];
  /** first pixel number and the one behind the last, slow * width + fast */
  readonly runs: readonly (readonly [number, number])[];
}

export type Region = Box | Circle | Azimuthal | Polygon | Bitmap;
export type Regions = readonly Region[];

export const MOST_REGIONS = 64;

/** A region that was changed, made (before is null) or removed (after is null), and its place in the document. */
export interface Change {
  readonly name: string;
  readonly before: Region | null;
  readonly after: Region | null;
  readonly place: number;
}

export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [first, second] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(first);
  return keys.length === Object.keys(second).length && keys.every((key) => key in second && same(first[key], second[key]));
}

export function named(regions: Regions, name: string | null): Region | null {
  return regions.find((region) => region.name === name) ?? null;
}

/** What makes `after` of `before`. A region with another name is one that went and one that came. */
export function changesOf(before: Regions, after: Regions): Change[] {
  const changes: Change[] = [];
  for (const [place, region] of before.entries()) {
    const now = named(after, region.name);
    if (now === null || !same(now, region)) changes.push({ name: region.name, before: region, after: now, place });
  }
  for (const [place, region] of after.entries()) {
    if (named(before, region.name) === null) changes.push({ name: region.name, before: null, after: region, place });
  }
  return changes;
}

/** The document with changes made in it, whatever its regions of these names were. */
export function changed(regions: Regions, changes: readonly Change[]): Regions {
  const gone = new Set(changes.filter((change) => change.after === null).map((change) => change.name));
  const rest = regions.filter((region) => !gone.has(region.name));
  for (const { name, after, place } of [...changes].sort((a, b) => a.place - b.place)) {
    if (after === null) continue;
    const at = rest.findIndex((region) => region.name === name);
    if (at >= 0) rest[at] = after;
    else rest.splice(Math.min(place, rest.length), 0, after);
  }
  return rest;
}

/** The changes that take others back. */
export function inverse(changes: readonly Change[]): Change[] {
  return changes.map(({ name, before, after, place }) => ({ name, before: after, after: before, place }));
}

/** Names of the regions that are not as these changes left them: somebody else changed them since. */
export function overtaken(regions: Regions, changes: readonly Change[]): string[] {
  return changes.filter(({ name, after }) => !same(named(regions, name), after)).map((change) => change.name);
}

/** A name that no region has: the stem with the smallest number. */
export function freeName(regions: Regions, stem: string): string {
  const base = stem.replace(/[-_.]?\d+$/, "") || stem;
  for (let number = 1; ; number += 1) {
    const name = `${base.slice(0, 60)}-${number}`;
    if (named(regions, name) === null) return name;
  }
}

/** A value of a field in a few characters. */
export function written(value: unknown): string {
  if (value === undefined || value === null) return "none";
  if (typeof value === "number") return String(Number(value.toPrecision(7)));
  if (!Array.isArray(value)) return String(value);
  if (value.length > 4) return `${value.length} values`;
  return `(${value.map(written).join(", ")})`;
}

/** A field of a region that others changed, beside what was to be put. `null` = the region is not there. */
export interface Difference {
  readonly name: string;
  readonly field: string;
  readonly before: string;
  readonly mine: string;
  readonly theirs: string;
}

/** What `theirs` has other than `before`, and what `mine` has there. */
export function differences(before: Regions, mine: Regions, theirs: Regions): Difference[] {
  const rows: Difference[] = [];
  for (const change of changesOf(before, theirs)) {
    const own = named(mine, change.name);
    const state = (region: Region | null): string => (region === null ? "not there" : region.type);
    if (change.before === null || change.after === null || own === null || change.before.type !== change.after.type) {
      rows.push({
        name: change.name, field: "", before: state(change.before), mine: state(own), theirs: state(change.after),
      });
      continue;
    }
    const [was, is, put] = [change.before, change.after, own].map((region) => ({ ...region }) as Record<string, unknown>) as
      [Record<string, unknown>, Record<string, unknown>, Record<string, unknown>];
    for (const field of new Set([...Object.keys(was), ...Object.keys(is)])) {
      if (same(was[field], is[field])) continue;
      const row = { name: change.name, field, before: written(was[field]), mine: written(put[field]), theirs: written(is[field]) };
      rows.push(row);
    }
  }
  return rows;
}

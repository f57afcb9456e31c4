/** What can be taken away from the page as text: results, spots, regions, the log. */
import type { Columns, ServiceEvent } from "../api_types.ts";
import { csv, type Cell, type CsvColumn } from "../csv.ts";
import { imageOf, kindOf, seriesOf, wordsOf } from "./log_words.ts";

/** Columns of an answer; one whose rows have several numbers becomes several. */
export function flatColumns(columns: Readonly<Record<string, readonly unknown[]>>, units: Readonly<Record<string, string>> = {}): CsvColumn[] {
  return Object.entries(columns).flatMap(([name, values]): CsvColumn[] => {
    const unit = units[name] ?? "";
    const width = Math.max(0, ...values.slice(0, 100).map((value) => (Array.isArray(value) ? value.length : 0)));
    if (width === 0) return [{ name, unit, values: values as Cell[] }];
    return Array.from({ length: width }, (_, part) => ({ name: `${name} ${part}`, unit, values: values.map((value) => (Array.isArray(value) ? (value[part] as Cell) : null)) }));
  });
}

export function resultsCsv(columns: Readonly<Record<string, readonly unknown[]>>, units: Readonly<Record<string, string>>): string {
  return csv(flatColumns(columns, units));
}

/** As crystint.model.peaks has them. */
export const SPOT_UNITS: Record<string, string> = { slow: "px", fast: "px", intensity: "count", sigma: "count", maximum: "count", npix: "px", d: "angstrom" };

export function spotsCsv(spots: Columns): string {
  return csv(flatColumns(spots, SPOT_UNITS));
}

export const REGION_UNITS: Record<string, string> = {
  sum: "count", sum_sq: "count^2", max: "count", mean: "count", x: "px", y: "px", background: "count", signal: "count", sigma: "count",
};

/** A line for each region. */
export function regionsCsv(regions: Readonly<Record<string, Readonly<Record<string, number | null>>>>): string {
  const names = Object.keys(regions);
  const columns = Object.keys(regions[names[0] ?? ""] ?? {});
  return csv([
    { name: "region", values: names },
    ...columns.map((column) => ({ name: column, unit: REGION_UNITS[column] ?? "", values: names.map((name) => regions[name]?.[column] ?? null) })),
  ]);
}

export function logCsv(events: readonly ServiceEvent[]): string {
  return csv([
    { name: "number", values: events.map((event) => event.number) },
    { name: "time", unit: "UTC", values: events.map((event) => new Date(event.time / 1e6).toISOString()) },
    { name: "kind", values: events.map(kindOf) },
    { name: "series", values: events.map(seriesOf) },
    { name: "image", values: events.map(imageOf) },
    { name: "text", values: events.map(wordsOf) },
  ]);
}

/** A name for a file: of what it is, of letters that every system takes. */
export function fileName(parts: readonly (string | number | null)[], suffix: string): string {
  const plain = parts.filter((part) => part !== null && part !== "").map((part) => String(part).replace(/[^A-Za-z0-9_.-]+/g, "_").replace(/^[._-]+/, ""));
  return `${plain.join("_").slice(0, 120) || "crystint"}.${suffix}`;
}

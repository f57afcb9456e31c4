/** The status of the service in words and numbers. */
import type { Books, Status } from "../api_types.ts";

export interface BookRow {
  id: string;
  count: number | null;
}

/** What became of the images; received = analysed + skipped + failed + in flight at every moment. */
export function bookRows(books: Books): BookRow[] {
  return [
    { id: "expected", count: books.expected },
    { id: "received", count: books.received },
    { id: "analysed", count: books.analysed },
    { id: "skipped", count: books.skipped },
    { id: "failed", count: books.failed },
    { id: "in_flight", count: books.in_flight },
    { id: "missing", count: books.missing },
    { id: "late", count: books.late },
    { id: "duplicate", count: books.duplicate },
    { id: "dropped", count: books.dropped },
  ];
}

/** Whether they add up. */
export function booksClose(books: Books): boolean {
  return books.received === books.analysed + books.skipped + books.failed + books.in_flight;
}

/** Share of the expected images that came; null = it is not known how many will. */
export function progressOf(books: Books): number | null {
  return books.expected === null || books.expected <= 0 ? null : Math.min(books.received / books.expected, 1);
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${units[unit]}`;
}

export interface SinkWords {
  name: string;
  trouble: string;
  facts: string;
}

const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

/** What a publisher or writer does, and what troubles it. */
export function sinkWords(name: string, sink: Readonly<Record<string, unknown>>): SinkWords {
  const facts: string[] = [];
  for (const [key, value] of Object.entries(sink)) {
    if (key === "error" || value === null || value === undefined || value === "" || typeof value === "object") continue;
    const shown = typeof value === "number" && key.includes("bytes") ? bytes(value) : typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
    facts.push(`${key.replaceAll("_", " ")} ${shown}`);
  }
  const lost = number(sink.lost) + number(sink.dropped) + number(sink.skipped);
  const error = typeof sink.error === "string" ? sink.error : "";
  return { name: name.replaceAll("_", " "), trouble: error !== "" ? error : lost > 0 ? `${lost} left out` : "", facts: facts.join(", ") };
}

/** What must be seen and heard at once; empty = all is well. */
export function urgent(status: Status | null, words: { error(reason: string): string; stalled: string; lost: string }): string {
  if (status === null) return words.lost;
  if (status.state === "error") return words.error(status.reason);
  return status.stalled ? words.stalled : "";
}

/** The body of /start, of what was typed; a text = why it cannot be. */
export function startBody(fields: Readonly<Record<string, string>>, words: { number(name: string): string }, names: Readonly<Record<string, string>>): Record<string, unknown> | string {
  const body: Record<string, unknown> = {};
  const number = (name: string): number | null => {
    const typed = (fields[name] ?? "").trim().replace(",", ".");
    if (typed === "") return null;
    const value = Number(typed);
    if (!Number.isFinite(value)) throw new Error(words.number(names[name] ?? name));
    return value;
  };
  try {
    if ((fields.prefix ?? "").trim() !== "") body.prefix = (fields.prefix ?? "").trim();
    const images = number("images");
    if (images !== null) body.images = images;
    const geometry: Record<string, unknown> = {};
    const distance = number("distance"), wavelength = number("wavelength"), slow = number("beam_slow"), fast = number("beam_fast");
    if (distance !== null) geometry.distance = distance / 1000;
    if (wavelength !== null) geometry.wavelength = wavelength;
    if ((slow === null) !== (fast === null)) throw new Error(words.number(names[slow === null ? "beam_slow" : "beam_fast"] ?? ""));
    if (slow !== null) geometry.beam_center = [slow, fast];
    if (Object.keys(geometry).length > 0) body.geometry = geometry;
    const columns = number("n_fast");
    if (columns !== null) {
      body.grid = {
        n_fast: columns, n_slow: number("n_slow"), step_x_um: number("step_x") ?? 1, step_y_um: number("step_y") ?? 1,
        snake: fields.snake === "true", vertical: fields.vertical === "true",
      };
    }
  } catch (error) {
    return (error as Error).message;
  }
  return body;
}

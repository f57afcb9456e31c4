/** Events in words. */
import type { ServiceEvent } from "../api_types.ts";
import { short } from "../numbers.ts";
import { text } from "../text.ts";

export type LogKind = "note" | "alarm" | "warning" | "series" | "change" | "file" | "state";
export const LOG_KINDS: readonly LogKind[] = ["note", "alarm", "warning", "series", "change", "file", "state"];

const KIND: Record<string, LogKind> = {
  note: "note", alarm: "alarm", warning: "warning", series_start: "series", series_end: "series", superseded: "series",
  settings: "change", rois: "change", mask: "change", file: "file", state: "state",
};

export function kindOf(event: ServiceEvent): LogKind {
  return KIND[event.name] ?? "state";
}

/** Good, bad, or neither. */
export function toneOf(event: ServiceEvent): "good" | "warn" | "bad" | "" {
  if (event.name === "warning") return "warn";
  if (event.name === "state") return event.data.state === "error" ? "bad" : event.data.stalled === true ? "warn" : "";
  if (event.name !== "alarm") return "";
  return event.data.state === "cleared" ? "good" : event.data.state === "no values" ? "warn" : "bad";
}

const string = (value: unknown): string => (typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value));

/** What happened, in a sentence. */
export function wordsOf(event: ServiceEvent): string {
  const { data } = event;
  const words = text.desk.events;
  switch (event.name) {
    case "note":
    case "warning":
      return string(data.text);
    case "alarm":
      return data.name === undefined ? string(data.text) : `${words.alarm[string(data.state)] ?? string(data.state)}: ${string(data.text)}`;
    case "series_start":
      return words.began(string(data.series));
    case "series_end":
      return words.ended(string(data.series), string(data.reason), bookWords(data.books));
    case "settings":
      return words.settings(pairs(data.changes), Number(data.first_image));
    case "rois":
      return words.rois(Number(data.version), Number(data.first_image));
    case "mask":
      return words.mask(Number(data.masked), Number(data.first_image));
    case "file":
      return words.file(string(data.path).split("/").pop() ?? "");
    case "state":
      return words.state(string(data.state), data.stalled === true, string(data.reason));
  }
  return `${event.name}: ${pairs(data)}`;
}

function pairs(values: unknown): string {
  if (typeof values !== "object" || values === null) return string(values);
  return Object.entries(values).map(([name, value]) => `${name} = ${typeof value === "number" ? short(value) : string(value)}`).join(", ");
}

function bookWords(books: unknown): string {
  if (typeof books !== "object" || books === null) return "";
  const values = books as Record<string, unknown>;
  return ["received", "analysed", "skipped", "failed", "missing"].map((name) => `${string(values[name])} ${name}`).join(", ");
}

/** The image that an event is about. */
export function imageOf(event: ServiceEvent): number | null {
  const { image, first_image: first } = event.data;
  if (typeof image === "number") return image;
  return typeof first === "number" && ["settings", "rois", "mask"].includes(event.name) ? first : null;
}

/** The series that it is about. */
export function seriesOf(event: ServiceEvent): string | null {
  return typeof event.data.series === "string" ? event.data.series : null;
}

export interface LogFilter {
  kinds: ReadonlySet<LogKind>;
  search: string;
}

/** Events of the kinds that have every word of the search in them. */
export function filtered(events: readonly ServiceEvent[], filter: LogFilter): ServiceEvent[] {
  const wanted = filter.search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return events.filter((event) => {
    if (!filter.kinds.has(kindOf(event))) return false;
    if (wanted.length === 0) return true;
    const whole = `${event.name} ${wordsOf(event)} ${seriesOf(event) ?? ""} ${imageOf(event) ?? ""}`.toLowerCase();
    return wanted.every((word) => whole.includes(word));
  });
}

/** Local time of an event, and its day where it is not today. */
export function timeOf(ns: number, now: Date = new Date()): string {
  const time = new Date(ns / 1e6);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  if (time.toDateString() === now.toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

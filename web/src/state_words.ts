/** What the bar at the top says of the service: words and their colour, of its status. */
import type { OpenedFile, SeriesInfo, Session, Status } from "./api_types.ts";
import { text } from "./text.ts";

export type Tone = "plain" | "good" | "warn" | "bad" | "accent";

export interface StateWords {
  words: string;
  tone: Tone;
  /** what there is to add */
  title: string;
}

export function stateWords(status: Status | null, session: Session, asked: boolean): StateWords {
  const words = text.shell.states;
  if (status === null) return asked ? { words: words.lost, tone: "bad", title: text.shell.unreachable } : { words: words.connecting, tone: "plain", title: "" };
  if (status.state === "error") return { words: words.error, tone: "bad", title: status.reason };
  if (status.stalled) return { words: `${words[status.state]}, ${words.stalled}`, tone: "warn", title: status.reason || text.shell.stalledLong };
  if (session.source === "files") return { words: words.files, tone: "plain", title: "" };
  const tone: Tone = status.state === "measuring" ? "good" : status.state === "idle" ? "plain" : "accent";
  return { words: words[status.state], tone, title: status.reason };
}

/** Images per second, in as many digits as can be read. */
export function rateWords(rate: number | null | undefined): string {
  if (rate === null || rate === undefined || !Number.isFinite(rate)) return "–";
  return rate >= 100 ? rate.toFixed(0) : rate >= 9.95 ? rate.toFixed(0) : rate.toFixed(1);
}

/** Images of a series that nobody looked at. */
export function lostOf(info: SeriesInfo | null | undefined): number {
  if (!info) return 0;
  const { missing, skipped, failed } = info.books;
  return (missing ?? 0) + skipped + failed;
}

export interface Choice {
  key: string;
  words: string;
}

/** The series that can be looked at: those of the stream, the newest first, and files. `chosen` is there in any case. */
export function choices(streamed: readonly SeriesInfo[], opened: readonly OpenedFile[], chosen: string | null): { stream: Choice[]; files: Choice[]; other: Choice | null } {
  const stream = streamed.map((each) => ({ key: each.series, words: seriesWords(each) }));
  const files = opened.map((each) => ({ key: each.series, words: each.series.split("/").pop()?.replace(/^file:/, "") ?? each.series }));
  const listed = chosen === null || [...stream, ...files].some((each) => each.key === chosen);
  return { stream, files, other: listed ? null : { key: chosen, words: text.shell.seriesGone(chosen) } };
}

function seriesWords(info: SeriesInfo): string {
  const count = info.expected ?? info.books.received;
  return `${info.name || info.series}  ·  ${count} images`;
}

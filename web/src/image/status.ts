/** What is told of the image that is seen: whether it is live, complete, behind, held, or gone. */
import type { Status } from "../api_types.ts";
import type { LiveState } from "../live.ts";
import type { Shown } from "../store.ts";
import { text } from "../text.ts";
import type { FlowState } from "./flow.ts";

export interface Situation {
  mode: "live" | "hold";
  source: "stream" | "files";
  line: LiveState;
  /** null = the service did not answer */
  status: Status | null;
  image: Shown | null;
  flow: FlowState;
  hit: boolean | null;
  /** ms of the clock */
  now: number;
}

export interface Told {
  badge: string;
  tone: "good" | "warn" | "bad" | "accent" | "";
  /** parts of a sentence */
  details: string[];
}

/** ms without a picture after which a measuring stream is told to be behind */
const LATE = 2000;

export function told({ mode, source, line, status, image, flow, hit, now }: Situation): Told {
  const words = text.image.status;
  const details: string[] = [];
  if (flow.asking) details.push(words.asking);
  else if (hit === true) details.push(words.hit);
  if (image?.series.startsWith("file:") === true || source === "files") {
    if (flow.trouble !== null) details.push(flow.trouble);
    return { badge: words.file, tone: flow.trouble !== null ? "bad" : flow.asking ? "warn" : "", details };
  }
  if (mode === "hold") {
    if (flow.gone) details.push(words.gone);
    if (flow.trouble !== null) details.push(flow.trouble);
    return { badge: words.held, tone: flow.gone || flow.asking || flow.trouble !== null ? "warn" : "accent", details };
  }
  // nothing pretends to be live while the line, or the service, is down
  if (line !== "open") {
    return { badge: words.down, tone: "bad", details: image === null ? [] : [words.downSince(Math.round((now - flow.came) / 1000))] };
  }
  // that no image is held is no trouble before the first series
  const early = status?.series == null ? null : flow.trouble;
  if (image === null) return { badge: words.live, tone: "", details: [early ?? words.waiting] };
  const series = status?.series?.series === image.series ? status.series : null;
  const measuring = status !== null && ["arming", "measuring", "finishing"].includes(status.state) && series !== null && !series.books.ended;
  if (series !== null) {
    const { books } = series;
    const missing = books.missing ?? 0;
    if (missing > 0) details.push(words.missing(missing));
    const behind = books.last - image.number;
    if (behind > 0 && now - flow.came > LATE) details.push(words.behind(behind));
    else if (missing === 0 && books.ended && books.failed === 0 && books.skipped === 0) details.push(words.complete);
  }
  if (flow.coarser > 1) details.push(words.coarser);
  if (flow.trouble !== null) details.push(flow.trouble);
  const trouble = flow.trouble !== null || details.some((each) => each.endsWith(words.behind(0).slice(1)));
  if (!measuring) return { badge: words.idle, tone: trouble ? "warn" : "", details };
  return { badge: words.live, tone: trouble ? "warn" : "good", details };
}

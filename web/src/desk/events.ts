/** What happens, as the service tells it: one stream of server-sent events for the whole page. */
import type { ServiceEvent } from "../api_types.ts";
import { Signal } from "../signal.ts";

export const EVENT_NAMES = [
  "state", "series_start", "series_end", "superseded", "file", "settings", "rois", "mask", "alarm", "note", "warning",
] as const;

/** as many as the page remembers */
export const MOST_EVENTS = 2000;
const RETRY = 3000;

/** Events with a new one, in the order of their times; one that is there already is left out. */
export function withEvent(events: readonly ServiceEvent[], event: ServiceEvent): readonly ServiceEvent[] {
  const last = events[events.length - 1];
  const before = (a: ServiceEvent, b: ServiceEvent): boolean => a.time < b.time || (a.time === b.time && a.number < b.number);
  if (last === undefined || before(last, event)) return [...events.slice(Math.max(events.length + 1 - MOST_EVENTS, 0)), event];
  if (events.some((each) => each.number === event.number && each.time === event.time)) return events;
  const at = events.findIndex((each) => before(event, each));
  return [...events.slice(0, at), event, ...events.slice(at)].slice(-MOST_EVENTS);
}

export class EventFeed {
  readonly events = new Signal<readonly ServiceEvent[]>([]);
  readonly open = new Signal(false);
  #address: (after: number) => string;
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting: ServiceEvent[] = [];

  constructor(address: (after: number) => string) {
    this.#address = address;
    document.addEventListener("visibilitychange", () => this.#seen());
    this.#seen();
  }

  /** A browser has six lines to a service for all of its pages: one that nobody looks at holds none. */
  #seen(): void {
    if (document.hidden) this.#close();
    else if (this.#source === null) this.#connect();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    this.open.value = false;
  }

  #connect(): void {
    clearTimeout(this.#timer);
    const source = new EventSource(this.#address(this.events.value.at(-1)?.number ?? 0));
    this.#source = source;
    source.onopen = () => {
      this.open.value = true;
    };
    source.onerror = () => {
      this.open.value = false;
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself, from the last event on
      this.#source = null;
      this.#timer = setTimeout(() => this.#seen(), RETRY);
    };
    for (const name of EVENT_NAMES) source.addEventListener(name, (event) => this.#take(event as MessageEvent<string>));
  }

  /** Those that come at once are told at once. */
  #take(message: MessageEvent<string>): void {
    if (this.#waiting.length === 0) queueMicrotask(() => this.#tell());
    this.#waiting.push(JSON.parse(message.data) as ServiceEvent);
  }

  #tell(): void {
    let events = this.events.value;
    for (const event of this.#waiting.splice(0)) events = withEvent(events, event);
    this.events.value = events;
  }
}

/** The alarms of the service, for the panel, the banner and the sound. */
import type { App } from "../app.ts";
import { ApiError } from "../api.ts";
import { Signal } from "../signal.ts";
import type { AlarmRule, AlarmsAnswer, AlarmState } from "./alarm_rules.ts";
import type { EventFeed } from "./events.ts";

const PAUSE = 2000;

export class AlarmStore {
  readonly answer = new Signal<AlarmsAnswer | null>(null);
  /** that are tripped, the newest first */
  readonly tripped = new Signal<readonly AlarmState[]>([], (a, b) => JSON.stringify(a) === JSON.stringify(b));
  /** an alarm has tripped just now */
  readonly rang = new Signal(0);
  #app: App;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #followers = 0;

  constructor(app: App, feed: EventFeed) {
    this.#app = app;
    let last = Number.POSITIVE_INFINITY;
    feed.events.follow((events) => {
      const alarms = events.filter((event) => event.name === "alarm");
      const newest = alarms.at(-1)?.time ?? 0;
      // what happened before the page was opened does not ring
      if (alarms.some((event) => event.time > last && event.data.state !== "cleared" && event.data.state !== "no values")) this.rang.value += 1;
      last = last === Number.POSITIVE_INFINITY ? Math.max(newest, Date.now() * 1e6 - 2e9) : Math.max(last, newest);
      if (newest > 0) void this.refresh();
    }, true);
    void this.refresh();
  }

  /** Keep the states fresh, as long as somebody looks at them. */
  watch(): () => void {
    this.#followers += 1;
    if (this.#followers === 1) void this.#again();
    return () => {
      this.#followers -= 1;
      if (this.#followers === 0) clearTimeout(this.#timer);
    };
  }

  async #again(): Promise<void> {
    if (!document.hidden) await this.refresh();
    clearTimeout(this.#timer);
    if (this.#followers > 0) this.#timer = setTimeout(() => void this.#again(), PAUSE);
  }

  async refresh(): Promise<void> {
    try {
      this.#take(await this.#app.api.json<AlarmsAnswer>("alarms"));
    } catch (error) {
      if (!(error instanceof ApiError)) this.#app.fail(error);
    }
  }

  /** Replace all rules; throws ApiError, 412 where somebody else changed them. */
  async save(rules: readonly AlarmRule[], revision: number): Promise<void> {
    this.#take(await this.#app.api.json<AlarmsAnswer>("alarms", { method: "PUT", body: { alarms: rules }, revision }));
  }

  #take(answer: AlarmsAnswer): void {
    this.answer.value = answer;
    this.tripped.value = answer.states.filter((state) => state.state === "tripped").sort((a, b) => b.since - a.since);
  }
}

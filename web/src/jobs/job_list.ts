/** Jobs as the service has them: asked for again while one of them goes on. */
import type { App } from "../app.ts";
import { Signal } from "../signal.ts";
import { isActive, type Job } from "./types.ts";

const SOON = 500;
const RARELY = 5000;

export class JobList {
  readonly jobs = new Signal<readonly Job[]>([]);
  /** they were asked for at least once */
  readonly asked = new Signal(false);
  #app: App;
  #readers = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;

  constructor(app: App) {
    this.#app = app;
  }

  /** Keep the list as it is at the service for as long as somebody looks at it. */
  follow(reader: () => void): () => void {
    const stops = [this.jobs.follow(reader), this.asked.follow(reader)];
    this.#readers += 1;
    void this.ask();
    return () => {
      for (const stop of stops) stop();
      this.#readers -= 1;
      if (this.#readers === 0) clearTimeout(this.#timer);
    };
  }

  /** Ask now. */
  async ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    try {
      if (!document.hidden) this.jobs.value = await this.#app.api.json<Job[]>("jobs");
      this.asked.value = true;
    } catch {
      // whoever asks for the state of the service tells that it does not answer
    } finally {
      this.#asking = false;
    }
    if (this.#readers > 0) this.#timer = setTimeout(() => void this.ask(), this.jobs.value.some(isActive) ? SOON : RARELY);
  }
}

const lists = new WeakMap<App, JobList>();

/** The one of a page. */
export function jobList(app: App): JobList {
  let list = lists.get(app);
  if (list === undefined) lists.set(app, (list = new JobList(app)));
  return list;
}

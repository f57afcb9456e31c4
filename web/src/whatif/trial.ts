/** Trials on an image: at most five in a second, one at a time, and of those that wait the last one alone. */

export interface Clock {
  now(): number;
  later(action: () => void, ms: number): void;
}

export const PAUSE = 210;

const BROWSER: Clock = { now: () => performance.now(), later: (action, ms) => void setTimeout(action, ms) };

/** Calls `work` with the newest of what is asked for. */
export class LastWins<T> {
  #work: (value: T) => Promise<void>;
  #clock: Clock;
  #next: { value: T } | null = null;
  #busy = false;
  #last = -Infinity;

  constructor(work: (value: T) => Promise<void>, clock: Clock = BROWSER) {
    this.#work = work;
    this.#clock = clock;
  }

  /** Something waits or is at work. */
  get busy(): boolean {
    return this.#busy;
  }

  ask(value: T): void {
    this.#next = { value };
    if (!this.#busy) this.#wait();
  }

  /** Forget what waits. */
  clear(): void {
    this.#next = null;
  }

  #wait(): void {
    this.#busy = true;
    const pause = Math.max(this.#last + PAUSE - this.#clock.now(), 0);
    this.#clock.later(() => void this.#go(), pause);
  }

  async #go(): Promise<void> {
    const next = this.#next;
    this.#next = null;
    if (next !== null) {
      this.#last = this.#clock.now();
      await this.#work(next.value);
    }
    if (this.#next !== null) this.#wait();
    else this.#busy = false;
  }
}

/** Settings that differ: name, before, now. */
export function changesOf(before: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>): [string, unknown, unknown][] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  return names.filter((name) => !same(before[name], now[name])).map((name) => [name, before[name] ?? null, now[name] ?? null]);
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
}

export interface Range {
  low: number;
  high: number;
  step: number;
  /** the slider is that of the logarithm */
  log: boolean;
}

/** What a slider goes over: the limits of the setting, or round about its usual value. */
export function rangeOf(minimum: number | null, maximum: number | null, usual: number, integer: boolean): Range {
  if (integer) {
    const low = minimum ?? 0;
    return { low, high: maximum !== null && maximum <= 100 ? maximum : Math.max(10 * usual, low + 20), step: 1, log: false };
  }
  if (minimum !== null && minimum > 0) return { low: minimum, high: maximum ?? 10 * Math.max(usual, minimum), step: 0.01, log: true };
  const high = maximum ?? 6 * usual;
  return { low: usual / 5, high, step: 0.01, log: true };
}

/** Place of a value on a slider of 0 to 1000. */
export function placeOf(value: number, { low, high, log }: Range): number {
  const at = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.round(1000 * Math.min(Math.max(at, 0), 1));
}

/** The inverse, rounded as people would write it. */
export function valueAt(place: number, { low, high, step, log }: Range): number {
  const share = place / 1000;
  const value = log ? low * (high / low) ** share : low + share * (high - low);
  return Number((Math.round(value / step) * step).toFixed(6));
}

/** A value that others follow. */
export class Signal<T> {
  #value: T;
  #followers = new Set<(value: T, before: T) => void>();
  #same: (a: T, b: T) => boolean;

  constructor(value: T, same: (a: T, b: T) => boolean = Object.is) {
    this.#value = value;
    this.#same = same;
  }

  get value(): T {
    return this.#value;
  }

  /** Followers are called when it is another value, in the order in which they came. */
  set value(value: T) {
    const before = this.#value;
    if (this.#same(before, value)) return;
    this.#value = value;
    for (const follower of [...this.#followers]) follower(value, before);
  }

  /** Call `follower` after each change, and with `now` at once as well; what comes back ends that. */
  follow(follower: (value: T, before: T) => void, now = false): () => void {
    this.#followers.add(follower);
    if (now) follower(this.#value, this.#value);
    return () => this.#followers.delete(follower);
  }
}

/** Some fields of a value replaced. */
export function change<T extends object>(signal: Signal<T>, fields: Partial<T>): void {
  signal.value = { ...signal.value, ...fields };
}

/** `follower`, called at once and then again after `pause` ms, however often it is asked for in between. */
export function calmly(follower: () => void, pause = 250): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let again = false;
  const call = (): void => {
    if (timer !== undefined) {
      again = true;
      return;
    }
    again = false;
    follower();
    timer = setTimeout(() => {
      timer = undefined;
      if (again) call();
    }, pause);
  };
  return call;
}

/** Call `follower` after a change of any of them, once for all changes of one turn of the event loop. */
export function followAll(signals: readonly Pick<Signal<never>, "follow">[], follower: () => void, now = false): () => void {
  let waiting = false;
  let ended = false;
  const turn = (): void => {
    waiting = false;
    if (!ended) follower();
  };
  const stops = signals.map((signal) =>
    signal.follow(() => {
      if (waiting) return;
      waiting = true;
      queueMicrotask(turn);
    }),
  );
  if (now) follower();
  return () => {
    ended = true;
    for (const stop of stops) stop();
  };
}

/** The WebSocket of live views: one message is asked for at a time, so that a slow line never queues. */
import type { Binning, Columns, Layer, ViewHead } from "./api_types.ts";
import { Signal } from "./signal.ts";

/** What the page wants to see; as `Wish` of the service. */
export interface Wish {
  slow?: string;
  fast?: string;
  size?: string;
  bin?: Binning;
  layer?: Layer;
  last?: number;
  of?: "sum" | "max";
  frame?: "detector" | "laboratory";
  fps?: number;
  columns?: readonly string[];
  view?: boolean;
  spots?: boolean;
}

export interface LiveHead {
  sequence: number;
  view?: ViewHead | null;
  /** s that the service took for it, or waited, since the last acknowledgement */
  after?: number;
  error?: string;
  spots?: Columns;
  row?: Record<string, number | null>;
}

export interface LiveMessage {
  head: LiveHead;
  /** pixels of the view, bitshuffle and LZ4; empty = there is none */
  packed: Uint8Array;
  /** ms that it was on the line, with the acknowledgement before it; null = not known */
  line: number | null;
}

export type LiveState = "connecting" | "open" | "closed";

/** The inverse of what the service sends: length of the head, head, pixels. */
export function unpackMessage(buffer: ArrayBuffer): Pick<LiveMessage, "head" | "packed"> {
  const length = new DataView(buffer).getUint32(0);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return { head: JSON.parse(text) as LiveHead, packed: new Uint8Array(buffer, 4 + length) };
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

export class Live {
  readonly state = new Signal<LiveState>("closed");
  #address: string;
  #socket: WebSocket | null = null;
  #wish: Wish = {};
  #takers = new Set<(message: LiveMessage) => void | Promise<void>>();
  #pause = FIRST_PAUSE;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wanted = false;
  /** ms of the clock at which the last acknowledgement went; null = none did, or the next message may not be due to it */
  #acknowledged: number | null = null;
  /** ends when the last message was taken */
  #taking: Promise<unknown> = Promise.resolve();

  constructor(base: string) {
    const address = new URL("api/v1/live", base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.#address = address.href;
  }

  /** Another wish; the next message is of it. */
  set wish(wish: Wish) {
    this.#wish = wish;
    this.#send(wish);
  }

  get wish(): Wish {
    return this.#wish;
  }

  /** Give messages to `taker`. While it takes one the next one may come, and no other: a slow line is never idle. */
  follow(taker: (message: LiveMessage) => void | Promise<void>): () => void {
    this.#takers.add(taker);
    return () => this.#takers.delete(taker);
  }

  /** Connect, and again whenever the line breaks. */
  open(): void {
    this.#wanted = true;
    if (this.#socket === null) this.#connect();
  }

  /** Try again now, not after the pause. */
  retry(): void {
    this.#pause = FIRST_PAUSE;
    if (this.#wanted && this.#socket === null) this.#connect();
  }

  close(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    this.state.value = "connecting";
    const socket = new WebSocket(this.#address);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#pause = FIRST_PAUSE;
      this.#acknowledged = null;
      this.state.value = "open";
      if (Object.keys(this.#wish).length > 0) this.#send(this.#wish);
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => void this.#take(event.data);
    socket.onclose = () => {
      this.#socket = null;
      this.state.value = "closed";
      if (!this.#wanted) return;
      this.#timer = setTimeout(() => this.#connect(), this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    };
  }

  async #take(buffer: ArrayBuffer): Promise<void> {
    const { head, packed } = unpackMessage(buffer);
    const began = this.#acknowledged, socket = this.#socket;
    const line = began === null || head.after === undefined ? null : performance.now() - began - 1000 * head.after;
    await this.#taking;
    if (socket !== this.#socket) return;
    this.#acknowledged = performance.now();
    this.#send({ ack: head.sequence });
    this.#taking = Promise.allSettled([...this.#takers].map(async (taker) => taker({ head, packed, line })));
  }

  #send(words: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(words));
  }
}

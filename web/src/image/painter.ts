/** The worker, as promises. */
import type { ViewHead } from "../api_types.ts";
import type { Contrast, Levels, Paint, Scale } from "./contrast.ts";
import type { Made, Slot, Work } from "./worker.ts";

declare const WORKER_ADDRESS: string;

/** Colours of a view. Whoever takes it closes the bitmap. */
export interface Painted {
  bitmap: ImageBitmap;
  levels: Levels;
  contrast: Contrast;
}

type Asked = Work extends infer W ? (W extends Work ? Omit<W, "id"> : never) : never;

export class Painter {
  #worker: Worker;
  #number = 0;
  #waiting = new Map<number, { resolve: (made: Made) => void; reject: (error: Error) => void }>();

  constructor(base: string) {
    this.#worker = new Worker(new URL(WORKER_ADDRESS, base), { type: "module" });
    this.#worker.onmessage = (event: MessageEvent<Made>) => {
      const made = event.data;
      const waiting = this.#waiting.get(made.id);
      this.#waiting.delete(made.id);
      if (made.kind === "error") waiting?.reject(new Error(made.text));
      else waiting?.resolve(made);
    };
  }

  /** Unpack a view and paint it. The bytes are gone afterwards when they have a buffer of their own. */
  async show(slot: Slot, packed: Uint8Array<ArrayBuffer>, head: ViewHead, paint: Paint): Promise<Painted> {
    return this.#picture({ kind: "show", slot, packed, head, paint }, [packed.buffer]);
  }

  /** Other colours for what a slot holds. */
  async paint(slot: Slot, paint: Paint): Promise<Painted> {
    return this.#picture({ kind: "paint", slot, paint });
  }

  /** Values of blocks of a view, row by row; NaN = none. */
  async read(slot: Slot, rows: [number, number], columns: [number, number]): Promise<Float64Array> {
    const made = await this.#ask({ kind: "read", slot, rows, columns });
    if (made.kind !== "values") throw new Error("the worker answered something else");
    return made.values;
  }

  async histogram(slot: Slot, range: Contrast, scale: Scale, bins: number): Promise<Uint32Array> {
    const made = await this.#ask({ kind: "histogram", slot, range, scale, bins });
    if (made.kind !== "histogram") throw new Error("the worker answered something else");
    return made.counts;
  }

  dispose(): void {
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(new DOMException("the image was closed", "AbortError"));
    this.#waiting.clear();
  }

  async #picture(asked: Asked, moved: Transferable[] = []): Promise<Painted> {
    const made = await this.#ask(asked, moved);
    if (made.kind !== "picture") throw new Error("the worker answered something else");
    return made;
  }

  #ask(asked: Asked, moved: Transferable[] = []): Promise<Made> {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...asked, id }, moved);
    });
  }
}

/** Unpacks views and makes colours of them, beside the thread of the page. The values of the last views stay here, so
 * that other colours need nothing from the service. */
import type { ViewHead } from "../api_types.ts";
import { contrastOf, histogramOf, levelsOfHead, type Contrast, type Levels, type Paint, type Scale } from "./contrast.ts";
import { paintOverlay, paintValues } from "./paint.ts";
import { itemSize, unpackValues, type Values } from "./unpack.ts";

/** Which view: each has a place of its own. */
export type Slot = "sharp" | "whole" | "mask";

export type Work =
  | { kind: "show"; id: number; slot: Slot; packed: Uint8Array<ArrayBuffer>; head: ViewHead; paint: Paint }
  | { kind: "paint"; id: number; slot: Slot; paint: Paint }
  | { kind: "read"; id: number; slot: Slot; rows: [number, number]; columns: [number, number] }
  | { kind: "histogram"; id: number; slot: Slot; range: Contrast; scale: Scale; bins: number };

export type Made =
  | { id: number; kind: "picture"; bitmap: ImageBitmap; levels: Levels; contrast: Contrast }
  /** row by row; NaN = no measurement */
  | { id: number; kind: "values"; values: Float64Array<ArrayBuffer> }
  | { id: number; kind: "histogram"; counts: Uint32Array }
  | { id: number; kind: "error"; text: string };

interface Held {
  head: ViewHead;
  values: Values;
  levels: Levels;
  /** memory, for the next view of this slot */
  memory: ArrayBuffer;
}

const MOST_SIDE = 8192;
const held = new Map<Slot, Held>();
let pixels: Uint32Array<ArrayBuffer> = new Uint32Array(0);

function unpacked(work: Extract<Work, { kind: "show" }>): Held {
  const { head, packed, slot } = work;
  const [rows, columns] = head.shape;
  const fine = (side: number): boolean => Number.isInteger(side) && side > 0 && side <= MOST_SIDE;
  if (!fine(rows) || !fine(columns)) throw new Error(`a view of ${rows} x ${columns} blocks cannot be shown`);
  const memory = held.get(slot)?.memory;
  const needed = rows * columns * itemSize(head.dtype);
  held.delete(slot);
  const fits = memory !== undefined && memory.byteLength >= needed && memory.byteLength <= 4 * needed + 65536;
  const values = unpackValues(packed, head.dtype, rows * columns, fits ? memory : undefined);
  const levels = slot === "mask" ? { low: 0, high: 1, min: 0, max: allBits(values, head.unusable) } : levelsOfHead(head, values);
  const made = { head, values, levels, memory: values.buffer };
  held.set(slot, made);
  return made;
}

/** What is set in any pixel of a mask. */
function allBits(values: Values, unusable: number | null): number {
  let all = 0;
  for (let at = 0; at < values.length; at += 1) if (values[at] !== unusable) all |= values[at]!;
  return all;
}

async function painted(id: number, slot: Slot, view: Held, paint: Paint): Promise<Made> {
  const [rows, columns] = view.head.shape;
  const count = rows * columns;
  if (pixels.length < count || pixels.length > 4 * count + 65536) pixels = new Uint32Array(count);
  const contrast = contrastOf(paint, view.levels);
  const out = pixels.subarray(0, count);
  if (slot === "mask") paintOverlay(view.values, view.head.unusable, out);
  else paintValues(view.values, view.head.unusable, paint, contrast, out);
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer, 0, 4 * count), columns, rows);
  const bitmap = await createImageBitmap(image);
  return { id, kind: "picture", bitmap, levels: view.levels, contrast };
}

function read(id: number, view: Held, [row0, row1]: [number, number], [column0, column1]: [number, number]): Made {
  const [rows, columns] = view.head.shape;
  const values = new Float64Array(Math.max(row1 - row0, 0) * Math.max(column1 - column0, 0));
  let to = 0;
  for (let row = row0; row < row1; row += 1) {
    for (let column = column0; column < column1; column += 1) {
      const inside = row >= 0 && row < rows && column >= 0 && column < columns;
      const value = inside ? view.values[row * columns + column]! : Number.NaN;
      values[to++] = value === view.head.unusable ? Number.NaN : value;
    }
  }
  return { id, kind: "values", values };
}

async function done(work: Work): Promise<Made> {
  if (work.kind === "show") return painted(work.id, work.slot, unpacked(work), work.paint);
  const view = held.get(work.slot);
  if (view === undefined) throw new Error(`there is no view ${work.slot}`);
  if (work.kind === "paint") return painted(work.id, work.slot, view, work.paint);
  if (work.kind === "read") return read(work.id, view, work.rows, work.columns);
  return { id: work.id, kind: "histogram", counts: histogramOf(view.values, view.head.unusable, work.range, work.scale, work.bins) };
}

// one after the other: the memory of colours is shared
let last: Promise<unknown> = Promise.resolve();

self.onmessage = (event: MessageEvent<Work>) => {
  const work = event.data;
  last = last.then(async () => {
    try {
      const made = await done(work);
      const moved: Transferable[] = made.kind === "picture" ? [made.bitmap] : made.kind === "values" ? [made.values.buffer] : [];
      self.postMessage(made, { transfer: moved });
    } catch (error) {
      self.postMessage({ id: work.id, kind: "error", text: (error as Error).message } satisfies Made);
    }
  });
};

/** The numbers of pixels, written on them when they are large enough, and a grid between them. */
import { short } from "../numbers.ts";
import type { Store } from "../store.ts";
import type { ImageCanvas } from "./canvas.ts";
import type { Paint } from "./contrast.ts";
import { colorOf } from "./paint.ts";
import type { Picture, Pictures } from "./pictures.ts";
import type { View } from "./view.ts";

/** CSS px of a pixel from which its number is written. */
export const READABLE = 18;

interface Block {
  picture: Picture;
  rows: [number, number];
  columns: [number, number];
  values: Float64Array;
}

/** Brightness 0 to 255 of a packed colour, as an eye has it. */
export function brightness(color: number): number {
  return 0.299 * (color & 255) + 0.587 * ((color >> 8) & 255) + 0.114 * ((color >> 16) & 255);
}

export class ValueLayer {
  #store: Store;
  #canvas: ImageCanvas;
  #pictures: Pictures;
  #paint: () => Paint;
  #block: Block | null = null;
  #asked = "";
  #stops: (() => void)[];

  constructor(store: Store, canvas: ImageCanvas, pictures: Pictures, paint: () => Paint) {
    this.#store = store;
    this.#canvas = canvas;
    this.#pictures = pictures;
    this.#paint = paint;
    this.#stops = [
      canvas.addLayer({ z: 10, draw: (context, view) => this.#draw(context, view) }),
      store.overlays.follow(() => canvas.redraw("still")),
    ];
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #draw(context: CanvasRenderingContext2D, view: View): void {
    const picture = this.#pictures.shown.value;
    if (picture === null || view.zoom < READABLE || picture.head.factor !== 1 || !this.#store.overlays.value.values) return;
    const { part } = view, [slow0, slow1, fast0, fast1] = picture.head.region;
    const rows: [number, number] = [Math.max(Math.floor(part.slow0), slow0) - slow0, Math.min(Math.ceil(part.slow1), slow1) - slow0];
    const columns: [number, number] = [Math.max(Math.floor(part.fast0), fast0) - fast0, Math.min(Math.ceil(part.fast1), fast1) - fast0];
    if (rows[0] >= rows[1] || columns[0] >= columns[1]) return;
    grid(context, view, rows[0] + slow0, rows[1] + slow0, columns[0] + fast0, columns[1] + fast0);
    const block = this.#block;
    if (block?.picture.head !== picture.head || block.rows.join() !== rows.join() || block.columns.join() !== columns.join()) {
      void this.#ask(picture, rows, columns);
      if (block?.picture.head !== picture.head) return;
    }
    this.#write(context, view, block, picture);
  }

  async #ask(picture: Picture, rows: [number, number], columns: [number, number]): Promise<void> {
    const key = `${picture.head.series} ${picture.head.image} ${picture.head.layer} ${picture.head.region} ${rows} ${columns}`;
    if (this.#asked === key) return;
    this.#asked = key;
    try {
      const values = await this.#pictures.read(rows, columns);
      // what was read is of this picture when no other came in the meantime
      if (this.#pictures.shown.value?.head === picture.head) this.#block = { picture, rows, columns, values };
    } catch {
      // the view has gone
    } finally {
      this.#asked = "";
    }
    this.#canvas.redraw("still");
  }

  #write(context: CanvasRenderingContext2D, view: View, { rows, columns, values }: Block, picture: Picture): void {
    const color = colorOf(null, this.#paint(), picture.contrast);
    const [slow0, , fast0] = picture.head.region;
    const width = columns[1] - columns[0];
    const longest = values.reduce((most, value) => Math.max(most, written(value).length), 1);
    const size = Math.min(view.zoom * 0.42, (view.zoom * 1.5) / longest, 15);
    if (size < 5) return;
    context.font = `${size}px ui-monospace, monospace`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let row = rows[0]; row < rows[1]; row += 1) {
      for (let column = columns[0]; column < columns[1]; column += 1) {
        const value = values[(row - rows[0]) * width + column - columns[0]]!;
        if (Number.isNaN(value)) continue;
        const at = view.toScreen(row + slow0 + 0.5, column + fast0 + 0.5);
        context.fillStyle = brightness(color(value)) > 140 ? "#10141a" : "#f6f8fb";
        context.fillText(written(value), at.x, at.y);
      }
    }
  }
}

function written(value: number): string {
  return Number.isNaN(value) ? "" : short(value, 3);
}

function grid(context: CanvasRenderingContext2D, view: View, slow0: number, slow1: number, fast0: number, fast1: number): void {
  const begin = view.toScreen(slow0, fast0), end = view.toScreen(slow1, fast1);
  context.beginPath();
  for (let slow = slow0; slow <= slow1; slow += 1) {
    const { y } = view.toScreen(slow, 0);
    context.moveTo(begin.x, y);
    context.lineTo(end.x, y);
  }
  for (let fast = fast0; fast <= fast1; fast += 1) {
    const { x } = view.toScreen(0, fast);
    context.moveTo(x, begin.y);
    context.lineTo(x, end.y);
  }
  context.strokeStyle = "rgb(128 132 140 / 35%)";
  context.lineWidth = 0.6;
  context.stroke();
}

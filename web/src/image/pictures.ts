/** The pictures that lie on the canvas: views with their colours. */
import type { ViewHead } from "../api_types.ts";
import { Signal } from "../signal.ts";
import type { ImageCanvas } from "./canvas.ts";
import type { Contrast, Levels, Paint } from "./contrast.ts";
import type { Laboratory } from "./laboratory.ts";
import type { Painted, Painter } from "./painter.ts";
import type { View } from "./view.ts";
import type { Slot } from "./worker.ts";

/** X-View with what the laboratory's frame adds. */
export interface Head extends ViewHead {
  laboratory?: Laboratory | null;
}

export interface Picture {
  readonly head: Head;
  readonly bitmap: ImageBitmap;
  readonly levels: Levels;
  readonly contrast: Contrast;
}

/** Whether two heads are of the same values: then one picture may lie under the other. */
function alike(a: Head, b: Head): boolean {
  const stacked = (a.last ?? 1) === (b.last ?? 1) && a.of === b.of;
  return a.series === b.series && a.image === b.image && a.layer === b.layer && a.bin === b.bin && frameOf(a) === frameOf(b) && stacked;
}

function frameOf(head: Head): string {
  return head.frame ?? "detector";
}

export class Pictures {
  /** the sharp one */
  readonly shown = new Signal<Picture | null>(null);
  /** whether the overlay of the mask is drawn */
  maskSeen = true;
  #canvas: ImageCanvas;
  #painter: Painter;
  #slots = new Map<Slot, Picture>();
  #paint: Paint | null = null;
  #painting = false;
  #again = false;
  #stop: () => void;

  constructor(canvas: ImageCanvas, painter: Painter) {
    this.#canvas = canvas;
    this.#painter = painter;
    this.#stop = canvas.addLayer({ z: 0, draw: (context, view) => this.#draw(context, view) });
  }

  /** Unpack, paint and show a view in a slot; the picture that was there goes. */
  async show(slot: Slot, packed: Uint8Array<ArrayBuffer>, head: Head, paint: Paint): Promise<Picture> {
    const painted = await this.#painter.show(slot, packed, head, paint);
    const picture = { head, ...only(painted) };
    const whole = this.#slots.get("whole");
    if (slot === "sharp" && whole !== undefined && !alike(whole.head, head)) this.drop("whole");
    this.#set(slot, picture);
    if (slot === "sharp" && this.#paint !== null && !samePaint(this.#paint, paint)) this.repaint(this.#paint);
    return picture;
  }

  drop(slot: Slot): void {
    this.#slots.get(slot)?.bitmap.close();
    this.#slots.delete(slot);
    if (slot === "sharp") this.shown.value = null;
    this.#canvas.redraw("still");
  }

  has(slot: Slot): Picture | null {
    return this.#slots.get(slot) ?? null;
  }

  /** Other colours for what is shown. The newest wish is painted next, those in between are left out. */
  repaint(paint: Paint): void {
    this.#paint = paint;
    if (this.#painting) this.#again = true;
    else void this.#repaint();
  }

  /** A value of the sharp picture and those round it; NaN = no measurement. */
  async read(rows: [number, number], columns: [number, number]): Promise<Float64Array> {
    return this.#painter.read("sharp", rows, columns);
  }

  dispose(): void {
    this.#stop();
    for (const slot of [...this.#slots.keys()]) this.drop(slot);
  }

  async #repaint(): Promise<void> {
    this.#painting = true;
    try {
      do {
        this.#again = false;
        for (const slot of ["sharp", "whole"] as const) {
          const picture = this.#slots.get(slot);
          const paint = this.#paint;
          if (picture === undefined || paint === null || paint.layer !== picture.head.layer) continue;
          const painted = await this.#painter.paint(slot, paint);
          // another view may have come into the slot: the worker had it first, so these are its colours
          const now = this.#slots.get(slot);
          if (now === picture) this.#set(slot, { head: picture.head, ...only(painted) });
          else painted.bitmap.close();
        }
      } while (this.#again);
    } catch {
      // the view went; the next one is painted as it should be
    } finally {
      this.#painting = false;
    }
  }

  #set(slot: Slot, picture: Picture): void {
    const before = this.#slots.get(slot);
    this.#slots.set(slot, picture);
    if (slot === "sharp") this.shown.value = picture;
    before?.bitmap.close();
    this.#canvas.redraw("still");
  }

  #draw(context: CanvasRenderingContext2D, view: View): void {
    const sharp = this.#slots.get("sharp");
    for (const slot of ["whole", "sharp", "mask"] as const) {
      const picture = this.#slots.get(slot);
      if (picture === undefined || sharp === undefined) continue;
      if (slot === "mask" && (!this.maskSeen || sharp.head.layer === "mask" || frameOf(picture.head) !== frameOf(sharp.head))) continue;
      drawPicture(context, view, picture);
    }
  }
}

function only({ bitmap, levels, contrast }: Painted): Painted {
  return { bitmap, levels, contrast };
}

export function samePaint(a: Paint, b: Paint): boolean {
  return (Object.keys(a) as (keyof Paint)[]).every((key) => a[key] === b[key]);
}

/** Blocks as squares with sharp edges; made smaller than the screen's px, they are averaged. */
function drawPicture(context: CanvasRenderingContext2D, view: View, { head, bitmap }: Picture): void {
  const [slow0, slow1, fast0, fast1] = head.region;
  const begin = view.toScreen(slow0, fast0), end = view.toScreen(slow1, fast1);
  context.save();
  context.beginPath();
  context.rect(begin.x, begin.y, end.x - begin.x, end.y - begin.y);
  context.clip(); // the last block may reach beyond the picture
  const size = head.factor * view.zoom;
  context.imageSmoothingEnabled = size * view.ratio < 0.999;
  context.imageSmoothingQuality = "low";
  context.drawImage(bitmap, begin.x, begin.y, bitmap.width * size, bitmap.height * size);
  context.restore();
}

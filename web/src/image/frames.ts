/** The shape of pictures, as stored or as the detector stands, learnt from views and from what is told of images. */
import type { App } from "../app.ts";
import type { ImageCanvas } from "./canvas.ts";
import { mappingOf } from "./laboratory.ts";
import type { Head } from "./pictures.ts";
import type { ShownGeometry } from "./rings.ts";
import { asked, SAME, type Asked, type Mapping } from "./view.ts";

export class Frames {
  #app: App;
  #canvas: ImageCanvas;
  #geometry: ShownGeometry;
  /** (slow, fast) px of "frame series" */
  #shapes = new Map<string, readonly [number, number]>();
  #mapping: { key: string; mapping: Mapping } = { key: "", mapping: SAME };

  constructor(app: App, canvas: ImageCanvas, geometry: ShownGeometry) {
    this.#app = app;
    this.#canvas = canvas;
    this.#geometry = geometry;
  }

  /** Of the picture of a series as it is to be shown; null = it is not known yet. */
  shape(series: string): readonly [number, number] | null {
    return this.#shapes.get(`${this.#app.store.look.value.frame} ${series}`) ?? null;
  }

  /** What the canvas shows, as a request; null = all of the picture. */
  part(series: string | null, most: number): Asked | null {
    const view = this.#canvas.view.value;
    const shape = series === null ? null : this.shape(series);
    if (shape === null || view.shape[0] !== shape[0] || view.shape[1] !== shape[1] || view.width <= 1) return null;
    return asked(view, most);
  }

  /** What is asked for next is all of the picture. */
  forget(): void {
    this.#shapes.clear();
  }

  /** From a view that is shown; `whole`: it was asked for without a region. */
  learn(head: Head, whole: boolean): void {
    const { about } = this.#app.store;
    const told = about.value?.series === head.series ? about.value : null;
    if (told !== null) this.#shapes.set(`detector ${head.series}`, told.shape);
    const wanted = this.#app.store.look.value.frame, key = `${wanted} ${head.series}`;
    const panelled = told !== null && told.panels !== null;
    const plane = head.laboratory ?? null;
    // of a detector that is one flat piece both frames are the same; else this view is of the frame before
    if (panelled && (head.frame ?? "detector") !== wanted) return;
    if (wanted === "laboratory" && plane !== null) this.#shapes.set(key, plane.shape);
    else if (told !== null) this.#shapes.set(key, told.shape);
    else if (whole && !this.#shapes.has(key)) this.#shapes.set(key, [head.region[1], head.region[3]]);
    const shape = this.#shapes.get(key);
    if (shape === undefined) return;
    const geometry = told === null ? null : this.#geometry.value;
    if (wanted === "detector" || plane === null || geometry === null) {
      this.#canvas.setPicture(shape, SAME);
      return;
    }
    const mapped = `${key} ${JSON.stringify(plane)}`;
    if (this.#mapping.key !== mapped) this.#mapping = { key: mapped, mapping: mappingOf(geometry, plane) };
    this.#canvas.setPicture(shape, this.#mapping.mapping);
  }
}

/** The symbol of a spot set, as it is drawn over the image. */
import { element } from "../dom.ts";
import { outline } from "../image/spots.ts";
import type { Shape } from "./overlay_desk.ts";

export function sign(color: string, shape: Shape): HTMLCanvasElement {
  const canvas = element("canvas", { class: "sign", set: { width: "32", height: "32", "aria-hidden": "true" } });
  const context = canvas.getContext("2d");
  if (context === null) return canvas;
  context.scale(2, 2);
  context.translate(8, 8);
  outline(context, shape, 4.5);
  context.strokeStyle = color;
  context.lineWidth = 1.8;
  context.stroke();
  return canvas;
}

/** The symbol of a spot set, as it is drawn over the image. */
import { element } from "../dom.ts";
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

function outline(context: CanvasRenderingContext2D, shape: Shape, radius: number): void {
  context.beginPath();
  if (shape === "circle") context.arc(0, 0, radius, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(-radius, -radius, 2 * radius, 2 * radius);
  else {
    const points = shape === "diamond" ? [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0], [0, -1.3]] : [[-1, -1], [1, 1]];
    points.forEach(([x = 0, y = 0], at) => (at === 0 ? context.moveTo(x * radius, y * radius) : context.lineTo(x * radius, y * radius)));
    if (shape === "cross") {
      context.moveTo(radius, -radius);
      context.lineTo(-radius, radius);
    }
  }
}

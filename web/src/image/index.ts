/** The part of the page that is called image. */
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { text } from "../text.ts";
import { ImageCanvas, imageCanvas } from "./canvas.ts";

export function register(app: App): void {
  app.panels.register({
    id: "image",
    title: text.image.title,
    make(container) {
      const canvas = new ImageCanvas(text.image.title);
      container.append(element("div", { class: "image-panel" }, canvas.element));
      imageCanvas.value = canvas;
      return {
        dispose() {
          imageCanvas.value = null;
          canvas.dispose();
        },
        resize: () => canvas.resize(),
      };
    },
  });
}

/** The part of the page that is called image. */
import type { App } from "../app.ts";
import { text } from "../text.ts";
import { imagePanel } from "./panel.ts";
import { spotPanel } from "./spot_panel.ts";

export function register(app: App): void {
  app.panels.register({ id: "image", title: text.image.title, make: imagePanel });
  app.panels.register({ id: "spot", title: text.image.spot, make: spotPanel });
}

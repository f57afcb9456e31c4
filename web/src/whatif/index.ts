/** What other thresholds find on the image that is held. */
import type { App } from "../app.ts";
import { text } from "../text.ts";
import { WhatIfPanel } from "./panel.ts";

export function register(app: App): void {
  app.panels.register({ id: "whatif", title: text.whatif.title, make: (container) => new WhatIfPanel(container, app) });
}

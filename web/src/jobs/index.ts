/** Jobs on finished files, and spot sets over the image. */
import type { App } from "../app.ts";
import { text } from "../text.ts";
import { FilesPanel } from "./files_panel.ts";
import { overlayDesk } from "./overlay_desk.ts";
import { OverlaysPanel } from "./overlays_panel.ts";
import { JobsPanel } from "./panel.ts";

export function register(app: App): void {
  overlayDesk(app);
  app.panels.register({ id: "jobs", title: text.jobs.title, make: (container) => new JobsPanel(container, app) });
  app.panels.register({ id: "files", title: text.files.title, make: (container) => new FilesPanel(container, app) });
  app.panels.register({ id: "overlays", title: text.jobs.overlays, make: (container) => new OverlaysPanel(container, app) });
}

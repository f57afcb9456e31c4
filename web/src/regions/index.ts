/** The part of the page that is called regions: regions of interest, and the user's mask. */
import type { App } from "../app.ts";
import { imageCanvas } from "../image/canvas.ts";
import { text } from "../text.ts";
import { Book } from "./book.ts";
import { showConflicts } from "./conflict.ts";
import { Editor, type Mode } from "./editor.ts";
import { maskPanel } from "./mask_panel.ts";
import { regionsPanel } from "./panel.ts";

const TOOLS: readonly (readonly [key: string, mode: Mode])[] = [
  ["region-select", "select"], ["region-box", "box"], ["region-circle", "circle"], ["region-sector", "azimuthal"], ["region-polygon", "polygon"],
];

export function register(app: App): void {
  const book = new Book(app.api, app.tell, app.fail);
  const editor = new Editor(app, book);
  let detach = (): void => {};
  imageCanvas.follow((canvas) => {
    detach();
    detach = canvas === null ? () => {} : editor.attach(canvas);
  }, true);
  app.store.status.follow((status) => {
    if (status?.rois !== undefined) void book.follow(status.rois.revision);
  });
  showConflicts(book);
  for (const [key, mode] of TOOLS) app.keys.on(key, () => editor.choose(mode));
  app.keys.on("region-undo", (event) => {
    if (!editor.editable) return;
    if (event.shiftKey) book.redo();
    else book.undo();
  });
  app.keys.on("region-redo", () => editor.editable && book.redo());
  app.keys.on("region-duplicate", () => editor.duplicate());
  app.keys.on("region-remove", () => editor.remove());
  app.keys.on("region-escape", () => editor.escape());
  app.panels.register({ id: "regions", title: text.regions.title, make: (container, _app, params) => regionsPanel(container, app, book, editor, params) });
  app.panels.register({ id: "mask", title: text.regions.mask, make: (container) => maskPanel(container, app, book, editor) });
}

/** The panel of the regions: tools, table, numbers. */
import type { App } from "../app.ts";
import { button, download, element } from "../dom.ts";
import type { Panel, Params } from "../panels.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { Book } from "./book.ts";
import type { Editor, Mode } from "./editor.ts";
import { documentOf, regionsOf } from "./files.ts";
import { RegionForm } from "./form.ts";
import { hidden } from "./looks.ts";
import { RegionTable } from "./region_table.ts";
import { Values } from "./values.ts";

const MODES: readonly Mode[] = ["select", "box", "circle", "azimuthal", "polygon"];

export function regionsPanel(container: HTMLElement, app: App, book: Book, editor: Editor, params: Params): Panel {
  if (Array.isArray(params.hidden)) hidden.value = new Set(params.hidden.filter((each): each is string => typeof each === "string"));
  const values = new Values(app, book);
  const table = new RegionTable(app, book, values);
  const form = new RegionForm(app, book, editor, values);
  const words = text.regions;
  const modes = MODES.map((mode) => ({
    mode, button: button(words.modes[mode].name, () => editor.choose(mode), { title: words.modes[mode].meaning, set: { "aria-pressed": "false" } }),
  }));
  const undo = button(words.undo, () => book.undo(), { title: words.undoKey });
  const redo = button(words.redo, () => book.redo(), { title: words.redoKey });
  const duplicate = button(words.duplicate, () => editor.duplicate(), { title: words.duplicateKey });
  const remove = button(words.remove, () => editor.remove(), { title: words.removeKey });
  const file = element("input", { type: "file", label: words.importLabel, set: { accept: ".json,application/json", hidden: "" } });
  file.addEventListener("change", () => void take());
  const take = async (): Promise<void> => {
    const chosen = file.files?.[0];
    if (chosen === undefined) return;
    try {
      const regions = regionsOf(await chosen.text());
      const before = book.regions.value.length;
      book.edit(regions);
      app.tell(words.imported(regions.length, chosen.name, before));
    } catch (error) {
      app.tell(words.notImported(chosen.name, (error as Error).message), "error");
    }
    file.value = "";
  };
  const bring = button(words.import, () => file.click(), { title: words.importMeaning });
  const save = button(words.export, () => download("regions.json", new Blob([documentOf(book.regions.value)], { type: "application/json" })), {
    title: words.exportMeaning,
  });
  const status = element("p", { class: "region-status help", role: "status" });
  container.append(
    element(
      "div", { class: "toolbar" },
      element("div", { class: "group", role: "group", label: words.tools }, ...modes.map((each) => each.button)),
      element("div", { class: "group", role: "group" }, undo, redo),
      element("div", { class: "group", role: "group" }, duplicate, remove),
      element("span", { class: "spacer" }),
      element("div", { class: "group", role: "group" }, bring, save), file,
    ),
    element("div", { class: "region-panel body", set: { "data-keys": "regions" } }, status, table.element, form.element),
  );

  const show = (): void => {
    const editable = editor.editable;
    for (const { mode, button: each } of modes) {
      each.setAttribute("aria-pressed", String(editor.mode.value === mode));
      each.disabled = !editable && mode !== "select";
      each.title = editable || mode === "select" ? words.modes[mode].meaning : words.viewer;
    }
    const chosen = editor.selected !== null;
    undo.disabled = !editable || !book.steps.value.undo;
    redo.disabled = !editable || !book.steps.value.redo;
    duplicate.disabled = remove.disabled = !editable || !chosen;
    bring.disabled = !editable;
    save.disabled = book.regions.value.length === 0;
    const effect = book.effect.value;
    status.textContent = !editable ? words.viewer
      : editor.mode.value !== "select" ? words.modes[editor.mode.value].help
      : effect !== null ? words.applied(effect.image) : words.hint;
  };
  const { region, session } = app.store;
  const stops = [
    followAll([editor.mode, book.regions, book.steps, book.effect, region, session] as never, show, true), values.watch(),
    hidden.follow(() => app.panels.changed()),
  ];
  return {
    dispose() {
      for (const stop of stops) stop();
      table.dispose();
      form.dispose();
    },
    params: () => ({ hidden: [...hidden.value] }),
  };
}

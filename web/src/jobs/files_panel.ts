/** The panel of files: what lies below the data root, and what of it is looked at. */
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import type { Panel } from "../panels.ts";
import { text } from "../text.ts";
import { folderOf, joined, ordered, type Entry } from "./file_field.ts";
import { openFile } from "./open_file.ts";

interface Listing {
  path: string;
  entries: Entry[];
  left_out: number;
}

export class FilesPanel implements Panel {
  #app: App;
  #folder = "";
  #where = element("span", { class: "files-folder" });
  #list = element("div", { class: "body files-list", role: "list", label: text.files.list });
  #opened = element("div", { class: "files-opened", role: "list", label: text.files.opened });
  #again = button(text.files.again, () => void this.#ask(this.#folder));
  #stops: (() => void)[];
  #ended = false;

  constructor(container: HTMLElement, app: App) {
    this.#app = app;
    container.append(
      element("div", { class: "toolbar" }, this.#where, element("span", { class: "spacer" }), this.#again),
      this.#list, this.#opened,
    );
    const { opened, series, session } = app.store;
    this.#stops = [opened, series, session].map((each) => (each as typeof opened).follow(() => this.#showOpened()));
    this.#showOpened();
    void this.#ask("");
  }

  focus(): void {
    (this.#list.querySelector("button") ?? this.#again).focus();
  }

  dispose(): void {
    this.#ended = true;
    for (const stop of this.#stops) stop();
  }

  async #ask(folder: string): Promise<void> {
    let listing: Listing;
    try {
      listing = await this.#app.api.json<Listing>("files", { query: { path: folder } });
    } catch (error) {
      this.#list.replaceChildren(element("p", { class: "empty" }, error instanceof Error ? error.message : String(error)));
      return;
    }
    if (this.#ended) return;
    this.#folder = folder;
    this.#where.textContent = text.jobs.folder(folder);
    const lines: HTMLElement[] = [];
    if (folder !== "") lines.push(this.#line("..", text.jobs.folderUp, () => void this.#ask(folderOf(folder))));
    for (const { name, kind } of ordered(listing.entries, [])) {
      const path = joined(folder, name);
      if (kind === "folder") lines.push(this.#line(`${name}/`, text.jobs.folderWord, () => void this.#ask(path)));
      else lines.push(this.#line(name, kind ?? text.jobs.unknownKind, () => void this.#open(path), kind === null));
    }
    if (listing.entries.length === 0) lines.push(element("p", { class: "empty" }, text.jobs.noFiles));
    if (listing.left_out > 0) lines.push(element("p", { class: "small soft" }, text.files.leftOut(listing.left_out)));
    this.#list.replaceChildren(...lines);
  }

  #line(name: string, detail: string, press: () => void, soft = false): HTMLElement {
    const made = button("", press, { class: soft ? "quiet files-line soft" : "quiet files-line" });
    made.append(element("span", { class: "files-name" }, name), element("span", { class: "small soft" }, detail));
    return element("div", { role: "listitem" }, made);
  }

  async #open(path: string): Promise<void> {
    try {
      await openFile(this.#app, path);
    } catch (error) {
      this.#app.fail(error);
    }
  }

  #showOpened(): void {
    const { opened, series, session } = this.#app.store;
    const may = session.value.role === "control";
    this.#opened.hidden = opened.value.length === 0;
    this.#opened.replaceChildren(...opened.value.map(({ series: key, kind }) => {
      const name = key.replace(/^file:/, "");
      const show = button(name, () => void (series.value = key), { class: "quiet files-name", title: kind, set: { "aria-pressed": String(series.value === key) } });
      const close = button("×", () => void this.#close(key), { class: "icon quiet", label: text.files.close(name), title: may ? text.files.close(name) : text.shell.viewOnly });
      close.disabled = !may;
      return element("div", { class: "bar", role: "listitem" }, show, element("span", { class: "spacer" }), close);
    }));
  }

  async #close(key: string): Promise<void> {
    const { api, store } = this.#app;
    try {
      await api.json("files/opened", { method: "DELETE", query: { series: key } });
    } catch (error) {
      this.#app.fail(error);
      return;
    }
    const others = store.opened.value.filter((each) => each.series !== key);
    if (store.image.value?.series === key) store.image.value = null; // nobody asks for it any more
    if (store.series.value === key) store.series.value = others[0]?.series ?? null;
    store.opened.value = others;
  }
}

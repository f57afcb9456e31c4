/** The present layout, remembered by the browser; layouts by name, on the server; presets; files. */
import { ApiError } from "./api.ts";
import type { App } from "./app.ts";
import { agree, askText } from "./dialog.ts";
import { download } from "./dom.ts";
import { built, readLayout, type Layout, type Params } from "./layouts.ts";
import type { MenuEntry } from "./menu.ts";
import { PRESETS, usualPreset } from "./presets.ts";
import { Signal } from "./signal.ts";
import { text } from "./text.ts";

const NAME = "crystint.layout";
const PAUSE = 400;
const NAMES = /^[A-Za-z0-9_.-]{1,64}$/;

interface Stored {
  name: string | null;
  layout: Layout;
}

/** Why a text cannot be the name of a layout; null = it can. */
export function troubleOfName(name: string, others: readonly string[] = []): string | null {
  const words = text.shell.layouts;
  if (!NAMES.test(name)) return words.wrongName;
  if (PRESETS.some((preset) => preset.id === name)) return words.presetName(name);
  return others.includes(name) ? words.takenName(name) : null;
}

export class LayoutDesk {
  /** of the layout that was chosen last; null = one without a name */
  readonly name = new Signal<string | null>(null);
  /** on the server */
  readonly names = new Signal<readonly string[]>([]);
  #app: App;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(app: App) {
    this.#app = app;
    app.panels.changes.follow(() => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#keep(), PAUSE);
    });
    window.addEventListener("pagehide", () => this.#keep());
  }

  /** The layout of the address where it names one; else that of this tab, of this browser, or the usual one. */
  async begin(wanted: string | null): Promise<void> {
    const mine = stored(sessionStorage);
    if (wanted !== null && mine?.name !== wanted && (await this.choose(wanted))) return;
    for (const each of [mine, stored(localStorage)]) {
      if (each === null) continue;
      try {
        this.#load(each.layout, each.name);
        return;
      } catch (error) {
        this.#app.tell(text.shell.layouts.notRestored(String((error as Error).message)), "warning");
      }
    }
    this.reset();
  }

  /** Lay out a preset, or a layout of the server; false = that did not go, and why was told. */
  async choose(name: string): Promise<boolean> {
    const preset = PRESETS.find((each) => each.id === name);
    try {
      if (preset !== undefined) {
        const title = (id: string, params: Params): string => {
          const kind = this.#app.panels.kinds.find((each) => each.id === id);
          return kind?.titleOf?.(params) ?? kind?.title ?? id;
        };
        this.#load(built(preset.tree, title), name, false);
      } else {
        if (!NAMES.test(name)) throw new Error(text.shell.layouts.wrongName);
        this.#load(readLayout(await this.#app.api.json(`layouts/${name}`)), name);
      }
      return true;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#app.tell(text.shell.layouts.notLoaded(name, why), "error");
      return false;
    }
  }

  /** The usual layout. */
  reset(): void {
    void this.choose(usualPreset(this.#app.store.session.value.source));
  }

  /** Ask which layouts the server has. */
  async refresh(): Promise<void> {
    try {
      const { layouts } = await this.#app.api.json<{ layouts: { name: string }[] }>("layouts");
      this.names.value = layouts.map((each) => each.name).sort();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) this.#app.fail(error);
      this.names.value = [];
    }
  }

  /** Put the present layout on the server. */
  async save(name: string): Promise<void> {
    await this.#app.api.json(`layouts/${name}`, { method: "PUT", body: this.#app.panels.save() });
    this.name.value = name;
    this.#keep();
    await this.refresh();
    this.#app.tell(text.shell.layouts.saved(name));
  }

  async remove(name: string): Promise<void> {
    await this.#app.api.json(`layouts/${name}`, { method: "DELETE" });
    if (this.name.value === name) this.name.value = null;
    await this.refresh();
  }

  async rename(name: string, next: string): Promise<void> {
    const layout = await this.#app.api.json<Layout>(`layouts/${name}`);
    await this.#app.api.json(`layouts/${next}`, { method: "PUT", body: layout });
    await this.#app.api.json(`layouts/${name}`, { method: "DELETE" });
    if (this.name.value === name) this.name.value = next;
    await this.refresh();
  }

  /** A file of the present layout, for another browser. */
  download(): void {
    const content = new Blob([JSON.stringify(this.#app.panels.save(), null, 1)], { type: "application/json" });
    download(`${this.name.value ?? "crystint"}.layout.json`, content);
  }

  /** Lay out what a file has. */
  upload(): void {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".json,application/json";
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file === undefined) return;
      file.text()
        .then((content) => this.#load(readLayout(JSON.parse(content)), null))
        .catch((error: Error) => this.#app.tell(text.shell.layouts.notLoaded(file.name, error.message), "error"));
    });
    input.click();
  }

  /** The menu of layouts. */
  menu(): MenuEntry[] {
    const words = text.shell.layouts;
    const mayChange = this.#app.store.session.value.role === "control";
    const own = this.name.value !== null && this.names.value.includes(this.name.value) ? this.name.value : null;
    const entries: MenuEntry[] = [{ section: words.presets }];
    for (const { id, title } of PRESETS) {
      entries.push({ text: title, radio: true, checked: this.name.value === id, press: () => void this.choose(id) });
    }
    entries.push({ section: words.named });
    if (this.names.value.length === 0) entries.push({ text: words.none, disabled: true, press: () => {} });
    for (const name of this.names.value) {
      entries.push({ text: name, radio: true, checked: this.name.value === name, press: () => void this.choose(name) });
    }
    entries.push({ section: "" });
    const no = mayChange ? {} : { disabled: true, title: text.shell.viewOnly };
    if (own !== null) entries.push({ text: words.saveAgain(own), press: () => void this.save(own).catch(this.#app.fail), ...no });
    entries.push({ text: words.saveAs, press: () => void this.#askSave().catch(this.#app.fail), ...no });
    if (own !== null) {
      entries.push({ text: words.rename(own), press: () => void this.#askRename(own).catch(this.#app.fail), ...no });
      entries.push({ text: words.remove(own), press: () => void this.#askRemove(own).catch(this.#app.fail), ...no });
    }
    entries.push(
      { section: "" },
      { text: words.download, press: () => this.download() },
      { text: words.upload, press: () => this.upload() },
      { text: words.reset, press: () => this.reset() },
    );
    return entries;
  }

  async #askSave(): Promise<void> {
    const words = text.shell.layouts;
    const name = await askText(words.saveTitle, words.nameLabel, this.name.value ?? "", words.save, (value) => troubleOfName(value));
    if (name === null) return;
    const exists = this.names.value.includes(name) && name !== this.name.value;
    if (exists && !(await agree(words.saveTitle, words.overwrite(name), words.save))) return;
    await this.save(name);
  }

  async #askRename(name: string): Promise<void> {
    const words = text.shell.layouts;
    const next = await askText(words.rename(name), words.nameLabel, name, words.renameAction, (value) => troubleOfName(value, this.names.value));
    if (next !== null) await this.rename(name, next);
  }

  async #askRemove(name: string): Promise<void> {
    const words = text.shell.layouts;
    if (await agree(words.remove(name), words.removeAsk(name), words.removeAction)) await this.remove(name);
  }

  #load(layout: Layout, name: string | null, tellMissing = true): void {
    this.#app.panels.load(layout, tellMissing);
    this.name.value = name;
  }

  #keep(): void {
    clearTimeout(this.#timer);
    const content = JSON.stringify({ name: this.name.value, layout: this.#app.panels.save() } satisfies Stored);
    try {
      sessionStorage.setItem(NAME, content);
      localStorage.setItem(NAME, content);
    } catch (error) {
      this.#app.tell(text.shell.layouts.notKept(String((error as Error).message)), "warning");
    }
  }
}

function stored(storage: Storage): Stored | null {
  const content = storage.getItem(NAME);
  if (content === null) return null;
  try {
    const value = JSON.parse(content) as Stored;
    return { name: typeof value.name === "string" ? value.name : null, layout: readLayout(value.layout) };
  } catch {
    return null;
  }
}

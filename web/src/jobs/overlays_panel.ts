/** The panel of overlays: spot sets with colour, shape and count, two of them compared. */
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import type { Panel } from "../panels.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import { REACH } from "./match.ts";
import { COLORS, overlayDesk, PARTS, RUN, SHAPES, type Overlay, type OverlayDesk, type Shape } from "./overlay_desk.ts";
import { sign } from "./sign.ts";

export class OverlaysPanel implements Panel {
  #app: App;
  #desk: OverlayDesk;
  #rows = element("tbody");
  #a = element("select", { label: text.jobs.setA });
  #b = element("select", { label: text.jobs.setB });
  #on = element("input", { type: "checkbox", id: "difference-on" });
  #parts = element("div", { class: "overlay-parts" });
  #files = element("div", { class: "bar pad" });
  #stops: (() => void)[];

  constructor(container: HTMLElement, app: App) {
    this.#app = app;
    this.#desk = overlayDesk(app);
    const head = element("tr", {}, ...[text.jobs.shownWord, text.jobs.symbol, text.jobs.set, text.jobs.onImage, ""].map((words, at) => element("th", { class: at === 3 ? "number" : "", set: { scope: "col" } }, words)));
    this.#a.addEventListener("input", () => this.#choose({ a: this.#a.value }));
    this.#b.addEventListener("input", () => this.#choose({ b: this.#b.value }));
    this.#on.addEventListener("input", () => this.#choose({ on: this.#on.checked }));
    container.append(element(
      "div", { class: "body" },
      element("table", { class: "plain-table", label: text.jobs.overlays }, element("thead", {}, head), this.#rows),
      this.#files,
      element(
        "section", { class: "pad overlay-compare", label: text.jobs.compare },
        element("h3", {}, text.jobs.compare),
        element("div", { class: "bar" }, element("label", {}, "A ", this.#a), element("label", {}, "B ", this.#b), element("label", { set: { for: "difference-on" } }, this.#on, text.jobs.drawDifference)),
        this.#parts,
        element("p", { class: "help" }, text.jobs.rule(REACH)),
      ),
    ));
    const { overlays, shown, choice, totals } = this.#desk;
    this.#stops = [
      followAll([overlays, shown, choice, totals, app.store.image] as never, () => this.#show()),
      app.store.opened.follow(() => this.#showFiles(), true),
      app.store.image.follow(() => this.#showFiles()),
    ];
    this.#show();
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #choose(fields: { a?: string; b?: string; on?: boolean }): void {
    this.#desk.choice.value = { ...this.#desk.choice.value, ...fields };
  }

  #show(): void {
    const { overlays, choice } = this.#desk;
    const focus = document.activeElement instanceof HTMLElement && this.#rows.contains(document.activeElement) ? document.activeElement.id : "";
    this.#rows.replaceChildren(...overlays.value.map((overlay) => this.#row(overlay)));
    if (focus !== "") document.getElementById(focus)?.focus();
    const options = overlays.value.map(({ id, name }) => [name, id] as const);
    for (const [select, value] of [[this.#a, choice.value.a], [this.#b, choice.value.b]] as const) {
      select.replaceChildren(new Option(text.jobs.chooseSet, ""), ...options.map(([name, id]) => new Option(name, id)));
      select.value = value;
    }
    this.#on.checked = choice.value.on;
    this.#on.disabled = this.#desk.pair() === null;
    this.#showParts();
  }

  #row(overlay: Overlay): HTMLElement {
    const { id, name, color, shape, visible } = overlay;
    const desk = this.#desk;
    const see = element("input", { type: "checkbox", id: `overlay-see-${id}`, label: text.jobs.see(name) });
    see.checked = visible;
    see.addEventListener("input", () => desk.change(id, { visible: see.checked }));
    const symbol = element("span", { class: "bar" }, sign(color, shape));
    if (id !== RUN) {
      const colors = element("select", { id: `overlay-color-${id}`, label: text.jobs.colorOf(name) });
      colors.append(...COLORS.map((each, at) => new Option(text.jobs.colors[at] ?? each, each)));
      colors.value = color;
      colors.addEventListener("input", () => desk.change(id, { color: colors.value }));
      const shapes = element("select", { id: `overlay-shape-${id}`, label: text.jobs.shapeOf(name) });
      shapes.append(...SHAPES.map((each) => new Option(text.jobs.shapes[each], each)));
      shapes.value = shape;
      shapes.addEventListener("input", () => desk.change(id, { shape: shapes.value as Shape }));
      symbol.append(colors, shapes);
    }
    const now = desk.shown.value.get(id);
    const count = element("td", { class: "number overlay-count", title: now?.trouble ?? "" }, now === undefined || now.spots === null ? "–" : String(now.spots.slow?.length ?? 0));
    const words = element("td", { class: "overlay-name" }, element("div", {}, name));
    if (now !== undefined && now.trouble !== "") words.append(element("div", { class: "small warn" }, now.trouble));
    const remove = id === RUN || overlay.origin.from === "trial" ? "" : button("×", () => desk.remove(id), { class: "quiet icon", label: text.jobs.remove(name) });
    const row = element("tr", { set: { "data-overlay": id } }, element("td", {}, see), element("td", {}, symbol), words, count, element("td", {}, remove));
    return row;
  }

  #showParts(): void {
    const parts = this.#desk.difference(), pair = this.#desk.pair();
    if (pair === null) {
      this.#parts.replaceChildren(element("p", { class: "soft" }, text.jobs.chooseTwo));
      return;
    }
    const head = element("tr", {}, ...["", text.jobs.onImage, text.jobs.onAll].map((words, at) => element("th", { class: at === 0 ? "" : "number", set: { scope: "col" } }, words)));
    const all = this.#desk.totals.value;
    const of = `${pair.a.id} ${pair.b.id}`;
    const told = all !== null && all.of === of ? all : null;
    const rows = (["onlyA", "onlyB", "both"] as const).map((name) => {
      const words = { onlyA: text.jobs.onlyIn(pair.a.name), onlyB: text.jobs.onlyIn(pair.b.name), both: text.jobs.inBoth }[name];
      const number = (value: number | undefined): HTMLElement => element("td", { class: "number", set: { "data-part": name } }, value === undefined ? "–" : String(value));
      return element(
        "tr", {}, element("th", { set: { scope: "row" } }, element("span", { class: "bar" }, sign(PARTS[name].color, PARTS[name].shape), words)),
        number(parts?.[name].length), number(told?.totals?.[name]),
      );
    });
    const ask = button(text.jobs.compareAll, () => void this.#desk.compareAll());
    ask.disabled = told !== null && told.totals === null && told.trouble === "";
    const note = told === null ? "" : told.trouble !== "" ? told.trouble : told.totals === null ? text.shell.asked : `${text.jobs.images(told.totals.images)}${told.note}`;
    this.#parts.replaceChildren(
      element("table", { class: "plain-table", label: text.jobs.compare }, element("thead", {}, head), element("tbody", {}, ...rows)),
      element("div", { class: "bar" }, ask, element("span", { class: told?.trouble ? "trouble small" : "soft small", role: "status" }, note)),
    );
  }

  /** Overlays of the file that is shown, which are not in the list yet. */
  #showFiles(): void {
    const series = this.#app.store.image.value?.series;
    const opened = this.#app.store.opened.value.find((each) => each.series === series);
    this.#files.replaceChildren(...(opened?.overlays ?? []).map(({ name }) =>
      button(text.jobs.addSet(name), () => this.#desk.add(`file-${series}-${name}`, name, { from: "file", series: series ?? "", overlay: name })),
    ));
    this.#files.hidden = this.#files.childElementCount === 0;
  }
}

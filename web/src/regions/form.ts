/** The selected region in numbers: those that it is made of, which can be typed in, and all that is measured. */
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import { short } from "../numbers.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { Book } from "./book.ts";
import type { Editor } from "./editor.ts";
import { named, type Region } from "./region.ts";
import { COLUMNS, type Values } from "./values.ts";
import { fieldsOf, inOther, withField } from "./words.ts";

/** significant ones of what has a fraction */
const DIGITS = 6;

export class RegionForm {
  readonly element = element("section", { class: "region-form", label: text.regions.details });
  #app: App;
  #book: Book;
  #editor: Editor;
  #values: Values;
  /** what the form was made for: other fields need another form */
  #made = "";
  #inputs = new Map<string, HTMLInputElement>();
  #trouble = element("p", { class: "trouble", role: "alert" });
  #notes = element("p", { class: "help" });
  #facts = element("dl", { class: "facts" });
  #stops: (() => void)[];

  constructor(app: App, book: Book, editor: Editor, values: Values) {
    this.#app = app;
    this.#book = book;
    this.#editor = editor;
    this.#values = values;
    this.#stops = [
      followAll([book.regions, app.store.region, app.store.session, book.refusal] as never, () => this.#show(), true),
      followAll([values.measured, book.details, book.effect, app.store.region] as never, () => this.#tell(), true),
    ];
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
  }

  #show(): void {
    const region = this.#editor.selected;
    this.element.hidden = region === null;
    if (region === null) {
      this.#made = "";
      return;
    }
    const fields = fieldsOf(region);
    const made = JSON.stringify([region.name, region.type, fields.map(({ key }) => key), this.#editor.editable]);
    if (made !== this.#made) this.#build(region);
    this.#made = made;
    const refusal = this.#book.refusal.value;
    const own = refusal !== null && refusal.name === region.name ? refusal : null;
    for (const { key, value } of fields) {
      const input = this.#inputs.get(key) as HTMLInputElement;
      const wrong = own?.field === key || (own?.field !== null && key.startsWith(`${own?.field}.`));
      if (document.activeElement !== input || !wrong) input.value = value;
      input.setAttribute("aria-invalid", String(wrong));
    }
    this.#trouble.textContent = own?.words ?? "";
  }

  #build(region: Region): void {
    const editable = this.#editor.editable;
    this.#inputs.clear();
    const name = element("input", { type: "text", id: "region-name", set: { autocomplete: "off", spellcheck: "false", maxlength: "64" } });
    name.value = region.name;
    name.disabled = !editable;
    this.#entered(name, (typed) => this.#rename(region.name, typed));
    const rows = [element("div", { class: "row" }, element("label", { set: { for: name.id } }, text.regions.name), name)];
    const wide = fieldsOf(region).map(({ key, label, unit }) => {
      const input = element("input", { class: "number", type: "text", id: `region-${key}`, set: { inputmode: "decimal", autocomplete: "off" } });
      input.disabled = !editable;
      this.#entered(input, (typed) => this.#type(region.name, key, typed));
      this.#inputs.set(key, input);
      return element("div", { class: "row" }, element("label", { set: { for: input.id } }, label), input, element("span", { class: "unit" }, unit));
    });
    const other = region.type !== "azimuthal" ? [] : [
      button(region.d_min === undefined ? text.regions.inSpacing : text.regions.inQ, () => this.#turn(region.name), { class: "quiet" }),
    ];
    for (const each of other) each.disabled = !editable;
    this.element.replaceChildren(
      element("div", { class: "region-numbers" }, ...rows, ...wide, ...other, this.#trouble, this.#notes),
      element("div", { class: "region-values" }, element("h3", {}, text.regions.measured), this.#facts),
    );
  }

  /** A change of an input, by Enter or by leaving it; Escape puts it back. */
  #entered(input: HTMLInputElement, take: (typed: string) => boolean): void {
    let before = "";
    input.addEventListener("focus", () => {
      before = input.value;
    });
    const enter = (): void => {
      if (input.value === before) return;
      const taken = take(input.value);
      input.setAttribute("aria-invalid", String(!taken));
      if (taken) before = input.value;
    };
    input.addEventListener("change", enter);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      input.value = before;
      input.setAttribute("aria-invalid", "false");
      this.#trouble.textContent = "";
      event.stopPropagation();
    });
  }

  #replace(name: string, after: Region): void {
    this.#book.edit(this.#book.regions.value.map((each) => (each.name === name ? after : each)));
  }

  #type(name: string, key: string, typed: string): boolean {
    const region = named(this.#book.regions.value, name);
    const after = region && withField(region, key, typed);
    if (after === null) {
      this.#trouble.textContent = text.regions.noNumber(typed);
      return false;
    }
    this.#trouble.textContent = "";
    this.#replace(name, after);
    return true;
  }

  #rename(before: string, typed: string): boolean {
    const name = typed.trim();
    const region = named(this.#book.regions.value, before);
    if (region === null || name === before) return true;
    if (named(this.#book.regions.value, name) !== null) {
      this.#trouble.textContent = text.regions.nameTaken(name);
      return false;
    }
    this.#replace(before, { ...region, name });
    this.#app.store.region.value = name;
    // where the service says no the selection goes back
    const stops = [
      this.#book.refusal.follow((refusal) => {
        if (refusal?.name === before) this.#app.store.region.value = before;
        if (refusal !== null) for (const stop of stops) stop();
      }),
      this.#book.effect.follow(() => {
        for (const stop of stops) stop();
      }),
    ];
    return true;
  }

  #turn(name: string): void {
    const region = named(this.#book.regions.value, name);
    const after = region && inOther(region);
    if (after !== null) this.#replace(name, after);
  }

  #tell(): void {
    const region = this.#editor.selected;
    if (region === null) return;
    const detail = this.#book.details.value[region.name];
    const { image, rows, version, again } = this.#values.measured.value;
    const row = rows[region.name];
    const effect = this.#book.effect.value;
    const words: string[] = [];
    if (detail?.problem !== undefined) words.push(detail.problem);
    else if (detail?.clipped === true) words.push(text.regions.clipped);
    if (again) words.push(text.regions.lookedAgain);
    else if (row !== undefined && version !== this.#book.version) words.push(text.regions.olderValues);
    if (row === undefined && image !== null && effect !== null && image < effect.image) words.push(text.regions.appliesFrom(effect.image));
    else if (row === undefined && image !== null) words.push(text.regions.notMeasured(image));
    this.#notes.textContent = words.join(" ");
    const pixels = detail === undefined ? [] : [[text.regions.pixels, short(detail.pixels), ""] as const];
    const facts = [...pixels, ...COLUMNS.map(({ name, title, unit, meaning }) => [
      unit === "" ? title : `${title}, ${unit}`, short(row?.[name], DIGITS), meaning,
    ] as const)];
    this.#facts.replaceChildren(...facts.flatMap(([title, value, meaning]) => [
      element("dt", { title: meaning }, title), element("dd", { class: "number" }, value),
    ]));
  }
}

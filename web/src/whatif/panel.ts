/** The panel of what-if: other thresholds on the image that is held, at once, and how to give them to the run. */
import { ApiError } from "../api.ts";
import type { Applied, Columns } from "../api_types.ts";
import type { App } from "../app.ts";
import { button, element, tell } from "../dom.ts";
import { fieldsOf, Form, FormError, shownValue, valueOf, type FormField } from "../form.ts";
import { difference, placesOf } from "../jobs/match.ts";
import { overlayDesk } from "../jobs/overlay_desk.ts";
import type { Offer } from "../jobs/types.ts";
import { short } from "../numbers.ts";
import type { Panel } from "../panels.ts";
import { calmly, followAll } from "../signal.ts";
import { text } from "../text.ts";
import { changesOf, LastWins, placeOf, rangeOf, valueAt, type Range } from "./trial.ts";

interface Settings {
  values: Record<string, unknown>;
  version: number;
  revision: number;
}

interface Trial {
  series: string;
  image: number;
  settings: Record<string, unknown>;
  n_spots: number;
  hit: boolean;
  expected_false_spots: number | null;
  d_min: number | null;
  spots: Columns;
}

interface Slider {
  field: FormField;
  range: Range;
  row: HTMLElement;
  slider: HTMLInputElement;
  number: HTMLInputElement;
  trouble: HTMLElement;
}

const BUSY = 429;
/** where a spacing that has no default begins, angstrom */
const SPACING = 2;
/** commands whose settings are those of the run */
const COMMAND = "peaks";
/** that a run always has, though the command does without: its default there depends on the command */
const ALWAYS = new Set(["snr"]);

export class WhatIfPanel implements Panel {
  #app: App;
  #settings: Settings | null = null;
  #sliders = new Map<string, Slider>();
  #form: Form | null = null;
  #trial: Trial | null = null;
  #trouble = element("p", { class: "trouble", role: "alert" });
  #notice = element("p", { role: "status" });
  #place = element("div", { class: "whatif" });
  #numbers = element("tbody");
  #parts = element("p", { class: "small soft whatif-parts" });
  #apply = button(text.whatif.apply, () => void this.#applyToRun(), { class: "primary" });
  #reset = button(text.whatif.reset, () => this.#resetAll());
  #foot = element("div", { class: "toolbar whatif-foot" }, this.#notice, this.#trouble, element("span", { class: "spacer" }), this.#reset, this.#apply);
  #asked = new LastWins<Record<string, unknown>>((values) => this.#try(values));
  #stops: (() => void)[] = [];
  #calmly = calmly(() => this.#showNumbers());

  constructor(container: HTMLElement, app: App) {
    this.#app = app;
    this.#foot.hidden = true;
    container.append(element("div", { class: "body" }, this.#place), this.#foot);
    const { store } = app;
    this.#stops = [
      store.image.follow(() => this.#again()),
      followAll([store.spots, store.about] as never, this.#calmly),
      store.session.follow(() => this.#showButtons()),
    ];
    void this.#begin();
  }

  dispose(): void {
    for (const stop of this.#stops) stop();
    this.#asked.clear();
    overlayDesk(this.#app).try(null);
    overlayDesk(this.#app).remove("trial");
  }

  async #begin(): Promise<void> {
    await this.#picture(); // which comes over a slow line first
    try {
      const [settings, offers] = await Promise.all([
        this.#app.api.json<Settings>("settings"), this.#app.api.json<Offer[]>("jobs/commands"),
      ]);
      this.#settings = settings;
      const offer = offers.find(({ command }) => command === COMMAND);
      if (offer === undefined) throw new Error(text.whatif.noSettings);
      this.#make(fieldsOf(offer.settings).filter(({ name }) => name in settings.values || name.startsWith("d_m")));
      this.#fill(settings.values);
    } catch (error) {
      this.#place.replaceChildren(element("p", { class: "empty" }, error instanceof Error ? error.message : String(error)));
    }
  }

  /** Until there is an image, for a second and a half at most. */
  #picture(): Promise<void> {
    const { image } = this.#app.store;
    return new Promise((resolve) => {
      const end = (): void => {
        stop();
        clearTimeout(timer);
        resolve();
      };
      const stop = image.follow(() => image.value !== null && end());
      const timer = setTimeout(end, 1500);
      if (image.value !== null) end();
    });
  }

  #make(fields: readonly FormField[]): void {
    const sliding = fields.filter((field) => field.kind === "number" && !field.advanced && field.group === "Peaks");
    const rest = fields.filter((field) => !sliding.includes(field));
    const rows = sliding.map((field) => this.#slider(field));
    this.#form = new Form(rest, { changed: () => this.#changed() });
    const more = element("details", { class: "form-more" }, element("summary", {}, text.whatif.more), this.#form.element);
    const head = element("tr", {}, ...["", text.whatif.run, text.whatif.trial].map((words, at) => element("th", { class: at === 0 ? "" : "number", set: { scope: "col" } }, words)));
    this.#place.replaceChildren(
      element("table", { class: "plain-table", label: text.whatif.numbers }, element("thead", {}, head), this.#numbers),
      this.#parts, ...rows, more,
    );
    this.#foot.hidden = false;
    this.#showNumbers();
    this.#showButtons();
  }

  #slider(field: FormField): HTMLElement {
    const usual = Number(this.#settings?.values[field.name] ?? field.default ?? SPACING) || SPACING;
    const range = rangeOf(field.minimum === 0 && field.above ? null : field.minimum, field.maximum, usual, field.integer);
    const id = `whatif-${field.name}`;
    const slider = element("input", { type: "range", label: text.whatif.slider(field.title), set: { min: "0", max: "1000", step: field.integer ? String(Math.max(Math.round(1000 / (range.high - range.low)), 1)) : "1" } });
    if (field.integer) {
      slider.min = String(range.low);
      slider.max = String(range.high);
      slider.step = "1";
    }
    const number = element("input", { type: "text", id, class: "number", set: { inputmode: "decimal", autocomplete: "off" } });
    const trouble = element("p", { class: "trouble small", role: "alert" });
    const back = button("↺", () => {
      this.#put(field.name, this.#settings?.values[field.name]);
      this.#changed();
    }, { class: "quiet icon", label: text.whatif.resetOne(field.title), title: text.whatif.resetOne(field.title) });
    const row = element("div", { class: "whatif-slider" }, element("label", { title: field.description, set: { for: id } }, field.title), slider, number, back, trouble);
    slider.addEventListener("input", () => {
      number.value = String(field.integer ? Number(slider.value) : valueAt(Number(slider.value), range));
      this.#changed();
    });
    number.addEventListener("input", () => {
      const value = Number(number.value);
      if (number.value.trim() !== "" && Number.isFinite(value)) this.#place_(slider, field, value, range);
      this.#changed();
    });
    this.#sliders.set(field.name, { field, range, row, slider, number, trouble });
    return row;
  }

  #place_(slider: HTMLInputElement, field: FormField, value: number, range: Range): void {
    slider.value = String(field.integer ? value : placeOf(value, range));
    slider.setAttribute("aria-valuetext", String(value));
  }

  #put(name: string, value: unknown): void {
    const control = this.#sliders.get(name);
    if (control === undefined) return;
    control.number.value = shownValue(value);
    control.number.placeholder = control.field.default === null ? text.whatif.none : shownValue(control.field.default);
    this.#place_(control.slider, control.field, Number(value ?? control.field.default ?? SPACING) || SPACING, control.range);
    control.trouble.textContent = "";
    control.number.removeAttribute("aria-invalid");
  }

  /** Put all controls where the run is. */
  #fill(values: Readonly<Record<string, unknown>>): void {
    for (const name of this.#sliders.keys()) this.#put(name, values[name]);
    this.#form?.put(values);
    this.#mark({});
  }

  /** What differs from the run; null = something on the form cannot be. */
  #values(): Record<string, unknown> | null {
    const run = this.#settings?.values ?? {};
    const made: Record<string, unknown> = {};
    let good = true;
    for (const [name, { field, number, trouble }] of this.#sliders) {
      try {
        const plain = number.value.trim();
        if (plain === "" && ALWAYS.has(name)) throw new Error(text.form.notNumber([]));
        // an empty field is the default, as everywhere
        const value = plain === "" ? field.default : valueOf({ ...field, default: undefined }, plain);
        if (JSON.stringify(value ?? null) !== JSON.stringify(run[name] ?? null)) made[name] = value;
        trouble.textContent = "";
        number.removeAttribute("aria-invalid");
      } catch (error) {
        trouble.textContent = (error as Error).message;
        number.setAttribute("aria-invalid", "true");
        good = false;
      }
    }
    try {
      const rest = this.#form?.values() ?? {};
      for (const field of this.#form?.fields ?? []) {
        const value = field.name in rest ? rest[field.name] : field.default;
        if (JSON.stringify(value ?? null) !== JSON.stringify(run[field.name] ?? null)) made[field.name] = value;
      }
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
      good = false;
    }
    return good ? made : null;
  }

  #mark(values: Readonly<Record<string, unknown>>): void {
    for (const [name, { row }] of this.#sliders) row.classList.toggle("whatif-changed", name in values);
  }

  #changed(): void {
    this.#tell("");
    const values = this.#values();
    this.#showButtons();
    if (values === null) return;
    this.#mark(values);
    const { store } = this.#app;
    if (Object.keys(values).length === 0) {
      this.#clear();
      return;
    }
    if (store.mode.value === "live") store.mode.value = "hold";
    this.#asked.ask(values);
  }

  /** The same on another image. */
  #again(): void {
    this.#trial = null;
    if (this.#app.store.mode.value === "live") return this.#calmly();
    this.#showNumbers();
    const values = this.#values();
    if (values !== null && Object.keys(values).length > 0) this.#asked.ask(values);
  }

  #clear(): void {
    this.#asked.clear();
    this.#trial = null;
    this.#trouble.textContent = "";
    overlayDesk(this.#app).try(null);
    this.#showNumbers();
  }

  async #try(values: Record<string, unknown>): Promise<void> {
    const image = this.#app.store.image.value;
    if (image === null) {
      this.#trouble.textContent = text.whatif.noImage;
      return;
    }
    try {
      const trial = await this.#app.api.json<Trial>(`images/${image.number}/try`, { method: "POST", query: { series: image.series }, body: values });
      const now = this.#app.store.image.value;
      if (now?.number !== image.number || now.series !== image.series) return;
      if (Object.keys(this.#values() ?? {}).length === 0) return;
      this.#trial = trial;
      this.#trouble.textContent = "";
      overlayDesk(this.#app).try(trial.spots);
    } catch (error) {
      if (error instanceof ApiError && error.status === BUSY) {
        this.#asked.ask(values);
        return;
      }
      this.#trial = null;
      overlayDesk(this.#app).try(null);
      this.#refused(error);
    }
    this.#showNumbers();
  }

  /** Say what the service refuses at the setting that it is about. */
  #refused(error: unknown): void {
    if (!(error instanceof ApiError)) {
      this.#app.fail(error);
      return;
    }
    const name = (error.field ?? "").split(".").at(-1) ?? "";
    const slider = this.#sliders.get(name);
    if (slider !== undefined) {
      slider.trouble.textContent = error.message;
      slider.number.setAttribute("aria-invalid", "true");
    } else if (!(this.#form?.trouble(name, error.message) ?? false)) this.#trouble.textContent = error.message;
  }

  #resetAll(): void {
    this.#tell("");
    this.#fill(this.#settings?.values ?? {});
    this.#clear();
    this.#showButtons();
    void this.#refresh();
  }

  async #refresh(): Promise<void> {
    try {
      this.#settings = await this.#app.api.json<Settings>("settings");
      if (this.#trial === null) this.#fill(this.#settings.values);
    } catch (error) {
      this.#app.fail(error);
    }
  }

  async #applyToRun(): Promise<void> {
    const values = this.#values(), before = this.#settings;
    if (values === null || before === null || Object.keys(values).length === 0) return;
    this.#apply.disabled = true;
    try {
      const applied = await this.#app.api.json<Applied>("settings", { method: "PATCH", body: values, revision: before.revision });
      this.#settings = await this.#app.api.json<Settings>("settings");
      this.#fill(this.#settings.values);
      this.#clear();
      const { session, status } = this.#app.store;
      const words = session.value.source === "files" ? text.whatif.appliedToFiles(applied.version)
        : status.value?.state === "measuring" ? text.whatif.applied(applied.first_image, applied.version) : text.whatif.appliedToNext(applied.version);
      this.#tell(words, "good");
    } catch (error) {
      if (error instanceof ApiError && error.status === 412) await this.#conflict(before);
      else this.#refused(error);
    } finally {
      this.#showButtons();
    }
  }

  /** Somebody else changed settings since they were read: say which, and go on from theirs. */
  async #conflict(before: Settings): Promise<void> {
    const wished = this.#values() ?? {};
    try {
      const now = await this.#app.api.json<Settings>("settings");
      this.#settings = now;
      const theirs = changesOf(before.values, now.values);
      const words = theirs.map(([name, was, is]) => text.whatif.change(name, shownValue(was), shownValue(is)));
      this.#fill(now.values);
      for (const [name, value] of Object.entries(wished)) this.#put(name, value);
      this.#form?.put({ ...now.values, ...wished });
      this.#changed();
      this.#tell(text.whatif.conflict(words.join(", ")), "trouble");
    } catch (error) {
      this.#app.fail(error);
    }
  }

  /** What became of the wish to apply; it stays until something is changed again. */
  #tell(words: string, look: "good" | "trouble" | "" = ""): void {
    this.#notice.textContent = words;
    this.#notice.className = look;
  }

  #showButtons(): void {
    const values = this.#values();
    const changed = values === null || Object.keys(values).length > 0;
    this.#reset.disabled = !changed;
    const may = this.#app.store.session.value.role === "control";
    this.#apply.disabled = values === null || !changed || !may;
    this.#apply.title = may ? "" : text.shell.viewOnly;
    this.#apply.textContent = this.#app.store.session.value.source === "files" ? text.whatif.applyToFiles : text.whatif.apply;
  }

  #showNumbers(): void {
    const { about, spots, image } = this.#app.store;
    const row = about.value !== null && about.value.image === image.value?.number ? about.value.row ?? {} : {};
    const trial = this.#trial;
    const yes = (value: number | boolean | null | undefined): string => (value === null || value === undefined || value === -1 ? short(null) : value ? text.shell.yes : text.shell.no);
    const lines: [string, string, string][] = [
      [text.whatif.spots, short(row.n_spots), short(trial?.n_spots)],
      [text.whatif.falseSpots, short(row.expected_false_spots, 3), short(trial?.expected_false_spots, 3)],
      [text.whatif.resolution, short(row.d_min, 4), short(trial?.d_min, 4)],
      [text.whatif.hit, yes(row.hit), yes(trial?.hit)],
    ];
    this.#numbers.replaceChildren(...lines.map(([name, own, tried]) => element(
      "tr", {}, element("th", { set: { scope: "row" } }, name), element("td", { class: "number" }, own), element("td", { class: "number" }, tried),
    )));
    if (trial === null || spots.value === null) return tell(this.#parts, "");
    const parts = difference(placesOf(spots.value), placesOf(trial.spots));
    tell(this.#parts, text.whatif.parts(parts.onlyB.length, parts.onlyA.length, parts.both.length));
  }
}

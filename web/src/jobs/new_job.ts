/** The form of a new job: a command, its files, its settings. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import { fieldsOf, Form, FormError, type FileControl } from "../form.ts";
import { text } from "../text.ts";
import { fileControl } from "./file_field.ts";
import type { Job, Offer } from "./types.ts";

/** The file of a series key, where it is of one. */
export function fileOf(series: string | null): string | null {
  return series !== null && series.startsWith("file:") ? series.slice(5) : null;
}

/** Where a refusal belongs: an input, a setting, or neither. */
export function placeOf(field: string | null): { part: "inputs" | "settings" | "name" | ""; name: string } {
  const [part = "", ...rest] = (field ?? "").split(".");
  if (part === "inputs" || part === "settings") return { part, name: rest.join(".") };
  return { part: part === "name" ? "name" : "", name: "" };
}

export class NewJob {
  readonly element = element("form", { class: "new-job", label: text.jobs.newJob });
  #app: App;
  #started: (job: Job) => void;
  #offers: readonly Offer[] = [];
  #command = element("select", { id: "job-command" });
  #name = element("input", { type: "text", id: "job-name", set: { maxlength: "64", placeholder: text.jobs.nameHint, autocomplete: "off" } });
  #parts = element("div", { class: "form" });
  #trouble = element("p", { class: "trouble", role: "alert" });
  #inputs = new Map<string, { control: FileControl; trouble: HTMLElement; many: boolean }>();
  #nameTrouble = element("p", { class: "trouble small", role: "alert" });
  #form: Form | null = null;
  #asked: Promise<void>;
  #start = button(text.jobs.start, () => void this.start(), { class: "primary" });

  constructor(app: App, started: (job: Job) => void) {
    this.#app = app;
    this.#started = started;
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.start();
    });
    this.#command.addEventListener("input", () => this.#show());
    const row = (id: string, label: string, ...control: HTMLElement[]): HTMLElement =>
      element("div", { class: "row" }, element("label", { set: { for: id } }, label), ...control);
    this.element.append(
      element("div", { class: "form" }, row("job-command", text.jobs.command, this.#command)),
      this.#parts,
      element("div", { class: "form" }, row("job-name", text.jobs.name, this.#name, element("span", { class: "unit" }), this.#nameTrouble)),
      element("div", { class: "actions pad" }, this.#trouble, this.#start),
    );
    this.#start.disabled = true; // until it is known what there is to be started
    this.#asked = this.#ask();
  }

  async #ask(): Promise<void> {
    try {
      this.#offers = await this.#app.api.json<Offer[]>("jobs/commands");
    } catch (error) {
      this.#app.fail(error);
      return;
    }
    this.#command.replaceChildren(...this.#offers.map((offer) => new Option(`${offer.title} (${offer.command})`, offer.command)));
    this.#show();
    this.#start.disabled = false;
  }

  /** Begin with what another job was told. */
  async again(job: Job): Promise<void> {
    await this.#asked;
    this.#command.value = job.command;
    this.#show();
    for (const [name, { control }] of this.#inputs) control.put((job.inputs[name] ?? []).join("\n"));
    this.#form?.put(job.settings);
  }

  #show(): void {
    const offer = this.#offers.find((each) => each.command === this.#command.value);
    this.#inputs.clear();
    this.#parts.replaceChildren();
    this.#trouble.textContent = "";
    if (offer === undefined) return;
    const { api, fail } = this.#app;
    for (const input of offer.inputs) {
      const control = fileControl(api, fail, input.kinds, input.many, input.meaning);
      const id = `job-input-${input.name}`;
      control.input.id = id;
      const trouble = element("p", { class: "trouble small", role: "alert" });
      const shown = fileOf(this.#app.store.series.value ?? this.#app.store.image.value?.series ?? null);
      if (input.kinds.includes("frames") && shown !== null) control.put(shown);
      this.#parts.append(element(
        "div", { class: "row" }, element("label", { set: { for: id } }, input.meaning), control.element, element("span", { class: "unit" }), trouble,
      ));
      this.#inputs.set(input.name, { control, trouble, many: input.many });
    }
    this.#form = new Form(fieldsOf(offer.settings), {
      file: (kinds, many, label) => fileControl(api, fail, kinds, many, label),
      open: (field) => field.group === "Peaks" && offer.command === "peaks",
    });
    this.#parts.append(element("h3", {}, text.jobs.settings), this.#form.element);
  }

  async start(): Promise<void> {
    if (this.#form === null) return;
    this.#say("");
    try {
      const inputs = Object.fromEntries([...this.#inputs].map(([name, { control }]) => [name, control.typed().split("\n").map((line) => line.trim()).filter((line) => line !== "")]));
      const name = this.#name.value.trim();
      const body = { command: this.#command.value, inputs, settings: this.#form.values(), ...(name === "" ? {} : { name }) };
      this.#start.disabled = true;
      this.#started(await this.#app.api.json<Job>("jobs", { method: "POST", body }));
    } catch (error) {
      if (error instanceof FormError) this.#trouble.textContent = error.message;
      else if (error instanceof ApiError) this.#refused(error);
      else this.#app.fail(error);
    } finally {
      this.#start.disabled = false;
    }
  }

  #refused(error: ApiError): void {
    const { part, name } = placeOf(error.field);
    const input = part === "inputs" ? this.#inputs.get(name) : undefined;
    if (input !== undefined) {
      input.trouble.textContent = error.message;
      input.control.input.setAttribute("aria-invalid", "true");
      input.control.input.focus();
    } else if (part === "name") {
      this.#nameTrouble.textContent = text.jobs.wrongName;
      this.#name.focus();
    } else if (part !== "settings" || !(this.#form?.trouble(name, error.message) ?? false)) this.#trouble.textContent = error.message;
  }

  #say(words: string): void {
    this.#trouble.textContent = words;
    this.#nameTrouble.textContent = words;
    for (const { control, trouble } of this.#inputs.values()) {
      trouble.textContent = words;
      control.input.removeAttribute("aria-invalid");
    }
  }
}

/** Forms made of the JSON schema of a settings model, as `GET /jobs/commands` has it. What is left as it is, is not sent. */
import { element } from "./dom.ts";
import { text } from "./text.ts";

/** A property of the schema, with what crystint adds to it. */
export interface SchemaProperty {
  title?: string;
  description?: string;
  default?: unknown;
  type?: string;
  format?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: SchemaProperty[];
  items?: SchemaProperty;
  prefixItems?: SchemaProperty[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  group?: string;
  option?: string;
  metavar?: string;
  advanced?: boolean;
  kinds?: string[];
}

export interface Schema {
  properties: Record<string, SchemaProperty>;
}

/** number: with `words` that may stand in its place; choice: one of `words`; switch: yes or no; path: a file; list: several;
 * text: anything else, numbers with commas between them for instance. */
export type FieldKind = "number" | "choice" | "switch" | "path" | "list" | "text";

export interface FormField {
  name: string;
  title: string;
  description: string;
  group: string;
  option: string;
  metavar: string;
  advanced: boolean;
  kind: FieldKind;
  words: string[];
  integer: boolean;
  minimum: number | null;
  maximum: number | null;
  /** the limits themselves are not allowed */
  above: boolean;
  below: boolean;
  /** of files that it names; for lists as well */
  kinds: string[];
  /** null = nothing is set */
  default: unknown;
}

/** What a property is on a form. */
export function fieldOf(name: string, property: SchemaProperty): FormField {
  const branches = (property.anyOf ?? [property]).filter((branch) => branch.type !== "null");
  const words: string[] = [];
  let number: SchemaProperty | null = null, list: SchemaProperty | null = null;
  let plain = false, truth = false, path = false;
  for (const branch of branches) {
    if (branch.const !== undefined) words.push(String(branch.const));
    else if (branch.enum !== undefined) words.push(...branch.enum.map(String));
    else if (branch.type === "number" || branch.type === "integer") number = branch;
    else if (branch.type === "boolean") truth = true;
    else if (branch.type === "array" && branch.items !== undefined) list = branch.items;
    else if (branch.format === "path") path = true;
    else plain = true;
  }
  const kinds = property.kinds ?? [];
  let kind: FieldKind = "text";
  if (list !== null) kind = "list";
  else if (truth) kind = "switch";
  else if (plain) kind = kinds.length > 0 ? "path" : "text";
  else if (path) kind = "path";
  else if (number !== null) kind = "number";
  else if (words.length > 0) kind = "choice";
  const low = number?.minimum ?? number?.exclusiveMinimum ?? null;
  const high = number?.maximum ?? number?.exclusiveMaximum ?? null;
  return {
    name, kind, words, kinds,
    title: property.title ?? name,
    description: property.description ?? "",
    group: property.group ?? "",
    option: property.option ?? "",
    metavar: property.metavar ?? "",
    advanced: property.advanced ?? false,
    integer: number?.type === "integer",
    minimum: low, maximum: high,
    above: number?.exclusiveMinimum !== undefined, below: number?.exclusiveMaximum !== undefined,
    default: property.default ?? null,
  };
}

export function fieldsOf(schema: Schema): FormField[] {
  return Object.entries(schema.properties).map(([name, property]) => fieldOf(name, property));
}

/** A value as one types it. */
export function shownValue(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(shownValue).join(",");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

/** The value that is meant by what was typed; null = as it is without it. Throws an error that says what is expected. */
export function valueOf(field: FormField, typed: string): unknown {
  const plain = typed.trim();
  if (plain === "" || plain === shownValue(field.default)) return null;
  if (field.kind === "switch") return plain === "yes";
  if (field.kind === "list") return plain.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (field.kind === "choice" || field.words.includes(plain)) return /^-?\d+$/.test(plain) ? Number(plain) : plain;
  if (field.kind !== "number") return plain;
  const value = Number(plain);
  if (!Number.isFinite(value)) {
    // lengths with a unit and shares in percent are read by the service
    if (field.metavar !== "" && /^[+-]?[\d.]+(e[+-]?\d+)?\s*(um|µm|mm|cm|m|%)$/i.test(plain)) return plain;
    throw new Error(text.form.notNumber(field.words));
  }
  if (field.integer && !Number.isInteger(value)) throw new Error(text.form.notWhole);
  if (field.minimum !== null && (field.above ? value <= field.minimum : value < field.minimum)) {
    throw new Error(field.above ? text.form.notAbove(field.minimum) : text.form.tooSmall(field.minimum));
  }
  if (field.maximum !== null && (field.below ? value >= field.maximum : value > field.maximum)) {
    throw new Error(field.below ? text.form.notBelow(field.maximum) : text.form.tooLarge(field.maximum));
  }
  return value;
}

interface Control {
  field: FormField;
  row: HTMLElement;
  typed(): string;
  put(words: string): void;
  input: HTMLElement;
  trouble: HTMLElement;
}

/** Makes the control of a file; `many` = several. */
export interface FileControl {
  element: HTMLElement;
  /** that says what is wrong with it, and takes the focus */
  input: HTMLElement;
  /** a name in each line */
  typed(): string;
  put(words: string): void;
}

export interface FormOptions {
  file?(kinds: readonly string[], many: boolean, label: string): FileControl;
  changed?(): void;
  /** settings that stand on top without a heading; others fold */
  open?(field: FormField): boolean;
}

let forms = 0;

/** Groups of fields; advanced ones and those that nobody changed fold. */
export class Form {
  readonly element = element("div", { class: "form settings-form" });
  readonly fields: readonly FormField[];
  #controls = new Map<string, Control>();
  #options: FormOptions;
  #id = `form-${(forms += 1)}`;

  constructor(fields: readonly FormField[], options: FormOptions = {}) {
    this.#options = options;
    this.fields = fields;
    const groups = new Map<string, FormField[]>();
    for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), field]);
    for (const [group, members] of groups) this.element.append(this.#group(group, members));
  }

  /** What was changed, by name. Throws an error where something cannot be; the field says so. */
  values(): Record<string, unknown> {
    const made: Record<string, unknown> = {};
    let first: Control | null = null;
    for (const [name, control] of this.#controls) {
      try {
        const value = valueOf(control.field, control.typed());
        if (value !== null) made[name] = value;
        this.#say(control, "");
      } catch (error) {
        this.#say(control, (error as Error).message);
        first ??= control;
      }
    }
    if (first !== null) {
      this.#show(first);
      throw new FormError(text.form.wrong(first.field.title));
    }
    return made;
  }

  /** Say at a field what is wrong with it; whether there is such a field. */
  trouble(name: string, words: string): boolean {
    const control = this.#controls.get(name);
    if (control === undefined) return false;
    this.#say(control, words);
    this.#show(control);
    return true;
  }

  put(values: Readonly<Record<string, unknown>>): void {
    for (const [name, control] of this.#controls) {
      const value = values[name];
      const lines = control.field.kind === "list" && Array.isArray(value) ? value.map(String).join("\n") : shownValue(value);
      control.put(value === undefined || value === null ? "" : lines);
      this.#say(control, "");
    }
  }

  #say(control: Control, words: string): void {
    control.trouble.textContent = words;
    control.input.setAttribute("aria-invalid", String(words !== ""));
  }

  #show(control: Control): void {
    for (let at = control.row.parentElement; at !== null && at !== this.element; at = at.parentElement) {
      if (at instanceof HTMLDetailsElement) at.open = true;
    }
    control.input.focus();
  }

  #group(group: string, members: readonly FormField[]): HTMLElement {
    const plain = members.filter((field) => !field.advanced), rest = members.filter((field) => field.advanced);
    const made = element("details", { class: "form-group" }, element("summary", {}, group));
    made.open = members.some((field) => this.#options.open?.(field) ?? false);
    made.append(...plain.map((field) => this.#row(field)));
    if (rest.length > 0 && plain.length === 0) made.append(...rest.map((field) => this.#row(field)));
    else if (rest.length > 0) {
      made.append(element("details", { class: "form-more" }, element("summary", {}, text.form.more(rest.length)), ...rest.map((field) => this.#row(field))));
    }
    return made;
  }

  #row(field: FormField): HTMLElement {
    const id = `${this.#id}-${field.name}`;
    const trouble = element("p", { class: "trouble small", role: "alert" });
    const help = element("p", { class: "help", id: `${id}-help` }, field.description);
    const control = this.#control(field, id);
    control.input.setAttribute("aria-describedby", help.id);
    const unit = element("span", { class: "unit small mono" }, field.option);
    const label = element("label", { title: field.description, set: { for: id } }, field.title);
    const row = element("div", { class: "row" }, label, control.element, unit, help, trouble);
    this.#controls.set(field.name, { field, row, trouble, ...control });
    return row;
  }

  #control(field: FormField, id: string): FileControl {
    const changed = (): void => this.#options.changed?.();
    if ((field.kind === "path" || (field.kind === "list" && field.kinds.length > 0)) && this.#options.file !== undefined) {
      const made = this.#options.file(field.kinds, field.kind === "list", field.title);
      made.input.id = id;
      made.element.addEventListener("input", changed);
      return made;
    }
    if (field.kind === "choice" || field.kind === "switch") {
      const usual = shownValue(field.default);
      const words = field.kind === "switch" ? ["yes", "no"] : field.words;
      const select = element("select", { id });
      if (usual === "") select.append(new Option(text.form.asItFits, ""));
      for (const word of words) select.append(new Option(word === usual ? text.form.usual(word) : word, word));
      select.value = usual;
      select.addEventListener("input", changed);
      return { element: select, input: select, typed: () => select.value, put: (value) => void (select.value = value === "" ? usual : value) };
    }
    const attributes = { id, set: { placeholder: this.#placeholder(field), autocomplete: "off", spellcheck: "false" } };
    const input = field.kind === "list" ? element("textarea", attributes) : element("input", { ...attributes, type: "text" });
    if (field.kind === "number") input.classList.add("number");
    if (field.words.length > 0 && input instanceof HTMLInputElement) {
      const list = element("datalist", { id: `${id}-words` });
      list.append(...field.words.map((word) => new Option(word)));
      input.setAttribute("list", list.id);
      input.addEventListener("input", changed);
      const box = element("span", { class: "form-words" }, input, list);
      return { element: box, input, typed: () => input.value, put: (value) => void (input.value = value) };
    }
    input.addEventListener("input", changed);
    return { element: input, input, typed: () => input.value, put: (value) => void (input.value = value) };
  }

  #placeholder(field: FormField): string {
    const usual = shownValue(field.default);
    if (usual !== "") return usual;
    return field.metavar === "" ? (field.kind === "number" ? text.form.number : "") : field.metavar;
  }
}

/** Something on the form cannot be: it says so itself. */
export class FormError extends Error {}

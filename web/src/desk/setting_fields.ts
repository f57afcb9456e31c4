/** Settings of the run as fields of a form: from the JSON Schema of the service. */

export interface Schema {
  type?: string;
  description?: string;
  enum?: (string | number)[];
  const?: string | number;
  anyOf?: Schema[];
}

export type Value = string | number | boolean | null;

export type FieldKind =
  | { kind: "switch" }
  | { kind: "choice"; choices: (string | number)[] }
  /** a number, or one of some words, or nothing */
  | { kind: "number"; whole: boolean; words: string[]; empty: boolean };

/** How a setting is entered. */
export function kindOfField(schema: Schema): FieldKind {
  if (schema.type === "boolean") return { kind: "switch" };
  if (schema.enum !== undefined && schema.anyOf === undefined) return { kind: "choice", choices: schema.enum };
  const parts = schema.anyOf ?? [schema];
  return {
    kind: "number",
    whole: parts.some((part) => part.type === "integer") && !parts.some((part) => part.type === "number"),
    words: parts.flatMap((part) => (part.const !== undefined ? [String(part.const)] : part.enum?.map(String) ?? [])),
    empty: parts.some((part) => part.type === "null"),
  };
}

/** The value that was typed; undefined = it cannot be one. The service checks its limits. */
export function valueOf(field: FieldKind, typed: string): Value | undefined {
  if (field.kind === "switch") return typed === "true";
  if (field.kind === "choice") return field.choices.find((choice) => String(choice) === typed);
  const plain = typed.trim();
  if (plain === "") return field.empty ? null : undefined;
  if (field.words.includes(plain)) return plain;
  const value = Number(plain.replace(",", "."));
  return Number.isFinite(value) && (!field.whole || Number.isInteger(value)) ? value : undefined;
}

/** As it stands in its field. */
export function typedOf(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

/** Settings that are others than those of the service. */
export function changesOf(now: Readonly<Record<string, Value>>, wanted: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== now[name]));
}

/** Settings that somebody else changed to something that is not wanted here. */
export function conflictsOf(
  before: Readonly<Record<string, Value>>, now: Readonly<Record<string, Value>>, changes: Readonly<Record<string, Value>>,
): { name: string; theirs: Value; mine: Value | undefined }[] {
  return Object.keys(now)
    .filter((name) => now[name] !== before[name])
    .map((name) => ({ name, theirs: now[name] ?? null, mine: changes[name] }));
}

/** Alarms as the service has them, and as they are written in the form. */

export interface AlarmRule {
  name: string;
  column: string;
  roi: string | null;
  below: number | null;
  above: number | null;
  over: number;
  hold: number;
  margin: number | null;
}

export type AlarmStateName = "waiting" | "collecting" | "no values" | "ok" | "tripped";

export interface AlarmState {
  name: string;
  state: AlarmStateName;
  value: number | null;
  image: number | null;
  since: number;
  images: number;
  text: string;
}

export interface AlarmsAnswer {
  document: { alarms: AlarmRule[] };
  revision: number;
  states: AlarmState[];
  /** that can be watched, and what they are */
  columns: Record<string, string>;
  trouble: string;
}

/** What the fields of the form have, as text. */
export interface AlarmFields {
  name: string;
  column: string;
  roi: string;
  side: "below" | "above";
  limit: string;
  over: string;
  hold: string;
  margin: string;
}

export const NEW_ALARM: AlarmFields = { name: "", column: "hit_rate", roi: "", side: "below", limit: "", over: "1", hold: "0", margin: "" };

export function fieldsOf(rule: AlarmRule): AlarmFields {
  return {
    name: rule.name, column: rule.column, roi: rule.roi ?? "", side: rule.below === null ? "above" : "below",
    limit: String(rule.below ?? rule.above ?? ""), over: String(rule.over), hold: String(rule.hold),
    margin: rule.margin === null ? "" : String(rule.margin),
  };
}

/** A number that was typed; null = it is none. */
export function numberOf(typed: string): number | null {
  const plain = typed.trim().replace(",", ".");
  const value = Number(plain);
  return plain !== "" && Number.isFinite(value) ? value : null;
}

export type FieldTrouble = Partial<Record<keyof AlarmFields, string>>;

/** The rule of the fields, or which of them are wrong; `names` are those of the other alarms. */
export function ruleOf(fields: AlarmFields, names: readonly string[], words: Record<"name" | "taken" | "roi" | "number" | "whole" | "positive", string>): { rule: AlarmRule | null; trouble: FieldTrouble } {
  const trouble: FieldTrouble = {};
  const limit = numberOf(fields.limit), over = numberOf(fields.over), hold = numberOf(fields.hold);
  const margin = fields.margin.trim() === "" ? null : numberOf(fields.margin);
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(fields.name)) trouble.name = words.name;
  else if (names.includes(fields.name)) trouble.name = words.taken;
  if (fields.column.startsWith("roi_") && fields.roi === "") trouble.roi = words.roi;
  if (limit === null) trouble.limit = words.number;
  if (over === null || !Number.isInteger(over) || over < 1 || over > 10_000) trouble.over = words.whole;
  if (hold === null || hold < 0 || hold > 86_400) trouble.hold = words.positive;
  if (fields.margin.trim() !== "" && (margin === null || margin < 0)) trouble.margin = words.positive;
  if (Object.keys(trouble).length > 0) return { rule: null, trouble };
  const rule = {
    name: fields.name, column: fields.column, roi: fields.column.startsWith("roi_") ? fields.roi : null,
    below: fields.side === "below" ? limit : null, above: fields.side === "above" ? limit : null,
    over: over as number, hold: hold as number, margin,
  };
  return { rule, trouble };
}

/** The field of the form that a refusal of the service is about, such as "alarms.0.column". */
export function fieldOf(path: string | null): keyof AlarmFields | null {
  const last = path?.split(".").pop() ?? "";
  if (last === "below" || last === "above") return "limit";
  return (["name", "column", "roi", "over", "hold", "margin"] as const).find((each) => each === last) ?? null;
}

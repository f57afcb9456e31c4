/** Alarms: how each of them is, and a form to make and change them. */
import type { App } from "../app.ts";
import { ApiError } from "../api.ts";
import type { Panel } from "../panels.ts";
import { button, element } from "../dom.ts";
import { short } from "../numbers.ts";
import { text } from "../text.ts";
import { fieldOf, fieldsOf, NEW_ALARM, ruleOf, type AlarmFields, type AlarmRule, type AlarmsAnswer } from "./alarm_rules.ts";
import type { AlarmStore } from "./alarm_store.ts";
import { mayChange } from "./role.ts";
import { showImage } from "./show_image.ts";
import type { Sound } from "./sound.ts";

const TONE: Record<string, string> = { tripped: "bad", ok: "good", "no values": "warn", waiting: "", collecting: "" };

export function alarmsPanel(container: HTMLElement, app: App, store: AlarmStore, sound: Sound): Panel {
  const words = text.desk.alarmsPanel;
  const stops: (() => void)[] = [store.watch()];
  const trouble = element("p", { class: "trouble pad", role: "alert" });
  const list = element("ul", { class: "alarm-list", label: words.list });
  const empty = element("p", { class: "empty" }, words.empty);
  const place = element("div");
  const add = button(words.add, () => edit(null), { class: "primary" });
  const noise = button(words.sound, () => {
    sound.on.value = !sound.on.value;
  }, { title: words.soundTitle });
  stops.push(
    sound.on.follow((on) => noise.setAttribute("aria-pressed", String(on)), true),
    mayChange(app, [add], text.desk.viewOnly),
  );
  container.append(element("div", { class: "toolbar" }, add, element("span", { class: "spacer" }), noise), element("div", { class: "body" }, trouble, empty, list, place));

  /** The form of an alarm; null = of a new one. */
  const edit = (rule: AlarmRule | null): void => {
    const answer = store.answer.value;
    if (answer === null) return;
    const form = alarmForm(app, store, rule, answer, () => {
      place.replaceChildren();
      add.focus();
    });
    place.replaceChildren(form);
    form.querySelector<HTMLElement>("input")?.focus();
    form.scrollIntoView({ block: "nearest" });
  };
  const remove = async (rule: AlarmRule): Promise<void> => {
    const answer = store.answer.value;
    if (answer === null) return;
    try {
      await store.save(answer.document.alarms.filter((each) => each.name !== rule.name), answer.revision);
    } catch (error) {
      await store.refresh();
      app.fail(error);
    }
  };
  stops.push(store.answer.follow((answer) => {
    if (answer === null) return;
    trouble.textContent = answer.trouble;
    trouble.hidden = answer.trouble === "";
    empty.hidden = answer.document.alarms.length > 0;
    const focused = list.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.act : undefined;
    list.replaceChildren(...answer.document.alarms.map((rule) => item(app, rule, answer, edit, remove)));
    if (focused !== undefined) list.querySelector<HTMLElement>(`[data-act="${CSS.escape(focused)}"]`)?.focus();
  }, true));
  return { dispose: () => stops.forEach((stop) => stop()) };
}

function item(app: App, rule: AlarmRule, answer: AlarmsAnswer, edit: (rule: AlarmRule) => void, remove: (rule: AlarmRule) => Promise<void>): HTMLElement {
  const words = text.desk.alarmsPanel;
  const state = answer.states.find((each) => each.name === rule.name);
  const name = state?.state ?? "waiting";
  const limit = rule.below !== null ? words.below(short(rule.below)) : words.above(short(rule.above));
  const what = `${rule.column}${rule.roi === null ? "" : ` (${rule.roi})`} ${limit}${rule.over > 1 ? words.over(rule.over) : ""}${rule.hold > 0 ? words.hold(short(rule.hold)) : ""}`;
  const image = state?.image ?? null;
  const changes = [
    button(words.edit, () => edit(rule), { class: "quiet", label: words.editName(rule.name), set: { "data-act": `edit ${rule.name}` } }),
    button(words.remove, () => void remove(rule), { class: "quiet", label: words.removeName(rule.name), set: { "data-act": `remove ${rule.name}` } }),
  ];
  for (const change of changes) {
    change.disabled = app.store.session.value.role !== "control";
    if (change.disabled) change.title = text.desk.viewOnly;
  }
  const value = element("span", { class: "number soft" }, state?.value === null || state === undefined ? "" : words.now(short(state.value)));
  return element(
    "li", { class: "alarm-item", set: { "data-name": rule.name, "data-state": name } },
    element("span", { class: `badge ${TONE[name] ?? ""}` }, words.states[name]),
    element("strong", {}, rule.name),
    element("span", { class: "what" }, what),
    element("span", { class: "soft small text" }, name === "ok" || name === "tripped" ? "" : state?.text ?? ""), value,
    ...(image === null ? [] : [button(text.desk.logPanel.image(image), () => showImage(app, null, image), { class: "quiet" })]),
    ...changes,
  );
}

function alarmForm(app: App, store: AlarmStore, rule: AlarmRule | null, answer: AlarmsAnswer, done: () => void): HTMLElement {
  const words = text.desk.alarmsPanel;
  const fields: AlarmFields = rule === null ? { ...NEW_ALARM } : fieldsOf(rule);
  const others = answer.document.alarms.filter((each) => each.name !== rule?.name);
  const controls = new Map<keyof AlarmFields, HTMLInputElement | HTMLSelectElement>();
  const troubles = new Map<keyof AlarmFields, HTMLElement>();
  const rows: HTMLElement[] = [];
  const row = (name: keyof AlarmFields, control: HTMLInputElement | HTMLSelectElement, unit = ""): void => {
    control.id = `alarm-${name}`;
    control.value = fields[name];
    const trouble = element("p", { class: "trouble", role: "alert", id: `alarm-${name}-trouble` });
    control.setAttribute("aria-describedby", trouble.id);
    control.addEventListener("input", () => {
      (fields as unknown as Record<string, string>)[name] = control.value;
      tell({});
    });
    controls.set(name, control);
    troubles.set(name, trouble);
    rows.push(element("div", { class: "row" }, element("label", { set: { for: control.id } }, words.fields[name]), control, element("span", { class: "unit" }, unit), trouble));
  };
  const typed = (): HTMLInputElement => element("input", { type: "text", set: { autocomplete: "off", maxlength: "64" } });
  const number = (): HTMLInputElement => element("input", { type: "text", class: "number", set: { autocomplete: "off", inputmode: "decimal", maxlength: "30" } });
  const options = (values: readonly string[], label: (value: string) => string = (value) => value): HTMLSelectElement => {
    const made = element("select");
    made.append(...values.map((value) => element("option", { set: { value } }, label(value))));
    return made;
  };
  row("name", typed());
  const column = typed();
  column.setAttribute("list", "alarm-columns");
  row("column", column);
  row("roi", typed());
  row("side", options(["below", "above"], (value) => words.sides[value as "below" | "above"]));
  row("limit", number());
  row("over", number(), words.images);
  row("hold", number(), "s");
  row("margin", number());
  const names = element(
    "datalist", { id: "alarm-columns" },
    ...Object.entries(answer.columns).map(([value, meaning]) => element("option", { set: { value, label: meaning } })),
  );
  const regions = element("datalist", { id: "alarm-regions" });
  controls.get("roi")?.setAttribute("list", "alarm-regions");
  void lists(app, regions);
  const general = element("p", { class: "trouble", role: "alert" });
  const tell = (trouble: Partial<Record<keyof AlarmFields, string>>): void => {
    for (const [name, place] of troubles) {
      place.textContent = trouble[name] ?? "";
      place.hidden = place.textContent === "";
      controls.get(name)?.setAttribute("aria-invalid", String(trouble[name] !== undefined));
    }
    general.textContent = "";
    const ofRegion = fields.column.startsWith("roi_");
    const roi = controls.get("roi")?.closest<HTMLElement>(".row");
    if (roi) roi.hidden = !ofRegion;
  };
  const save = async (): Promise<void> => {
    const made = ruleOf(fields, others.map((each) => each.name), words.wrong);
    tell(made.trouble);
    const first = Object.keys(made.trouble)[0] as keyof AlarmFields | undefined;
    if (made.rule === null) return controls.get(first ?? "name")?.focus();
    const fresh = made.rule;
    const at = answer.document.alarms.findIndex((each) => each.name === rule?.name);
    const rules = at < 0 ? [...answer.document.alarms, fresh] : answer.document.alarms.map((each, index) => (index === at ? fresh : each));
    try {
      await store.save(rules, answer.revision);
      done();
    } catch (error) {
      const field = error instanceof ApiError ? fieldOf(error.field) : null;
      if (error instanceof ApiError && error.status === 412) {
        await store.refresh();
        answer = store.answer.value ?? answer;
        general.textContent = words.conflict;
      } else if (field !== null) {
        tell({ [field]: (error as Error).message });
        controls.get(field)?.focus();
      } else general.textContent = (error as Error).message;
    }
  };
  const form = element(
    "form", { class: "form desk-form alarm-form", label: rule === null ? words.newAlarm : words.editName(rule.name) },
    ...rows, names, regions, general,
    element("div", { class: "actions" }, button(text.shell.cancel, done), element("button", { type: "submit", class: "primary" }, words.save)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void save();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") done();
  });
  tell({});
  return form;
}

/** The regions that there are. */
async function lists(app: App, regions: HTMLElement): Promise<void> {
  try {
    const rois = await app.api.json<{ document: { rois: { name: string }[] } }>("rois");
    regions.append(...rois.document.rois.map(({ name }) => element("option", { set: { value: name } })));
  } catch (error) {
    app.fail(error);
  }
}

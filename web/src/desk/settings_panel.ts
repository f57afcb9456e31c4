/** Settings of the run: checked while one types, and applied from an image on that the service tells. */
import type { App } from "../app.ts";
import { ApiError } from "../api.ts";
import type { Applied } from "../api_types.ts";
import type { Panel } from "../panels.ts";
import { button, element } from "../dom.ts";
import { text } from "../text.ts";
import { mayChange } from "./role.ts";
import type { EventFeed } from "./events.ts";
import { fieldsOf, shownValue, valueOf, type FormField, type Schema } from "../form.ts";
import { changesOf, conflictsOf, type Value } from "./setting_fields.ts";

interface Answer {
  values: Record<string, Value>;
  version: number;
  revision: number;
}

interface Field {
  of: FormField;
  control: HTMLInputElement | HTMLSelectElement;
  trouble: HTMLElement;
  row: HTMLElement;
}

const PAUSE = 250;

export function settingsPanel(container: HTMLElement, app: App, feed: EventFeed): Panel {
  const words = text.desk.settingsPanel;
  const stops: (() => void)[] = [];
  const fields = new Map<string, Field>();
  let answer: Answer | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;
  /** the events of what is being applied here are not somebody else's */
  let saving = false;
  let newest = 0;

  const form = element("form", { class: "form desk-form", label: words.title });
  const general = element("div", { class: "trouble pad", role: "alert" });
  /** what somebody else did; it stays until this form has their values or is applied */
  const meanwhile = element("div", { class: "trouble pad", role: "alert" });
  const told = element("p", { class: "good pad", role: "status" });
  const apply = element("button", { type: "submit", class: "primary" }, words.apply);
  const reset = button(words.reset, () => fill());
  const version = element("span", { class: "soft number" });
  container.append(element("div", { class: "toolbar" }, version, element("span", { class: "spacer" }), reset, apply), element("div", { class: "body" }, meanwhile, general, told, form));
  apply.setAttribute("form", "run-settings");
  form.id = "run-settings";

  const typed = ({ control }: Field): string => (control instanceof HTMLInputElement && control.type === "checkbox" ? shownValue(control.checked) : control.value);
  const put = ({ control }: Field, value: Value): void => {
    if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value === true;
    else control.value = shownValue(value);
  };
  /** What is wanted of a field, or why it cannot be. */
  const read = (field: Field): { value: Value } | { trouble: string } => {
    try {
      return { value: valueOf(field.of, typed(field)) as Value };
    } catch (error) {
      return { trouble: (error as Error).message };
    }
  };
  const changes = (): Record<string, Value> | null => {
    const wanted: Record<string, Value> = {};
    for (const [name, field] of fields) {
      const now = read(field);
      if ("trouble" in now) return null;
      wanted[name] = now.value;
    }
    return changesOf(answer?.values ?? {}, wanted);
  };
  const mark = (name: string, why: string): void => {
    const field = fields.get(name);
    if (field === undefined) return;
    field.trouble.textContent = why;
    field.trouble.hidden = why === "";
    field.control.setAttribute("aria-invalid", String(why !== ""));
  };
  const show = (): void => {
    let wrong = false;
    for (const [name, field] of fields) {
      const now = read(field);
      mark(name, "trouble" in now ? now.trouble : "");
      wrong ||= "trouble" in now;
      field.row.dataset.changed = String("trouble" in now || now.value !== answer?.values[name]);
    }
    const made = wrong ? null : changes();
    const count = made === null ? 0 : Object.keys(made).length;
    apply.textContent = count > 0 ? words.applyMany(count) : words.apply;
    apply.disabled = app.store.session.value.role !== "control" || count === 0;
    reset.disabled = count === 0 && !wrong;
  };
  const fill = (): void => {
    for (const [name, field] of fields) put(field, answer?.values[name] ?? null);
    general.replaceChildren();
    meanwhile.replaceChildren();
    version.textContent = answer === null ? "" : words.version(answer.version);
    show();
  };
  /** What is not set is left out by the service. */
  const ask = async (): Promise<Answer> => {
    const now = await app.api.json<Answer>("settings");
    return { ...now, values: Object.fromEntries([...fields.keys()].map((name) => [name, now.values[name] ?? null])) };
  };
  const load = async (): Promise<void> => {
    answer = await ask();
    fill();
  };
  const untouched = (): boolean => {
    const made = changes();
    return made !== null && Object.keys(made).length === 0;
  };
  /** Take what the service has now, unless something was typed, which stays. */
  const follow = async (): Promise<void> => {
    const now = untouched() ? await ask() : null;
    if (now !== null && now.revision <= (answer?.revision ?? 0)) return;
    if (now === null || !untouched()) meanwhile.textContent = words.changedMeanwhile;
    else {
      answer = now;
      fill();
    }
  };
  /** Ask the service whether it would take them. */
  const check = async (): Promise<void> => {
    const made = changes();
    if (made === null || Object.keys(made).length === 0 || app.store.session.value.role !== "control") return;
    const mine = (asked += 1);
    try {
      await app.api.json<Applied>("settings", { method: "PATCH", query: { dry_run: true }, body: made });
      if (mine === asked) general.replaceChildren();
    } catch (error) {
      if (mine !== asked || !(error instanceof ApiError)) return;
      apply.disabled = true;
      if (error.field !== null && fields.has(error.field)) mark(error.field, error.message);
      else general.textContent = error.message;
    }
  };
  const save = async (): Promise<void> => {
    const made = changes();
    if (made === null || answer === null || Object.keys(made).length === 0) return;
    const before = answer;
    clearTimeout(timer);
    asked += 1;
    saving = true;
    try {
      const applied = await app.api.json<Applied>("settings", { method: "PATCH", body: made, revision: before.revision });
      await load();
      told.textContent = words.applied(applied.version, applied.first_image);
    } catch (error) {
      if (!(error instanceof ApiError)) return app.fail(error);
      told.textContent = "";
      if (error.status === 412) await conflict(before, made);
      else if (error.field !== null && fields.has(error.field)) mark(error.field, error.message);
      else general.textContent = error.message;
    } finally {
      saving = false;
      if (newest > (answer?.revision ?? 0)) void follow().catch(app.fail);
    }
  };
  /** Somebody else was first: what both want stands beside each other, and what was typed here stays. */
  const conflict = async (before: Answer, made: Record<string, Value>): Promise<void> => {
    answer = await ask();
    version.textContent = words.version(answer.version);
    const both = conflictsOf(before.values, answer.values, made);
    general.replaceChildren();
    meanwhile.replaceChildren(
      element("p", {}, words.conflict),
      element("ul", {}, ...both.map(({ name, theirs, mine }) => element("li", {}, mine === undefined ? words.theirs(name, shownValue(theirs)) : words.both(name, shownValue(theirs), shownValue(mine))))),
      element("div", { class: "bar" }, button(words.takeTheirs, fill)),
    );
    for (const { name, mine, theirs } of both) {
      const field = fields.get(name);
      if (mine !== undefined || field === undefined) continue;
      put(field, theirs);
    }
    show();
  };

  const build = async (): Promise<void> => {
    for (const each of fieldsOf(await app.api.json<Schema>("settings/schema"))) {
      const field = made(each);
      fields.set(each.name, field);
      form.append(field.row);
      field.control.addEventListener("input", () => {
        told.textContent = "";
        show();
        clearTimeout(timer);
        timer = setTimeout(() => void check().catch(app.fail), PAUSE);
      });
    }
    stops.push(mayChange(app, [...fields.values()].map((field) => field.control), text.desk.viewOnly));
    await load();
    let number = feed.events.value.filter((event) => event.name === "settings").at(-1)?.number ?? 0;
    stops.push(feed.events.follow((events) => {
      const last = events.filter((event) => event.name === "settings").at(-1);
      if (last === undefined || last.number === number) return;
      number = last.number;
      newest = Number(last.data.revision);
      if (saving || newest <= (answer?.revision ?? 0)) return;
      void follow().catch(app.fail);
    }));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void save();
  });
  void build().catch(app.fail);
  return {
    dispose() {
      clearTimeout(timer);
      stops.forEach((stop) => stop());
    },
  };
}

function made(of: FormField): Field {
  const id = `setting-${of.name}`;
  let control: HTMLInputElement | HTMLSelectElement;
  if (of.kind === "switch") control = element("input", { type: "checkbox", id });
  else if (of.kind === "choice") {
    control = element("select", { id });
    control.append(...of.words.map((word) => new Option(word)));
  } else {
    control = element("input", { type: "text", class: "number", id, set: { autocomplete: "off", maxlength: "40", placeholder: text.desk.settingsPanel.none } });
    if (of.words.length > 0) control.setAttribute("list", `${id}-words`);
  }
  const trouble = element("p", { class: "trouble", role: "alert", id: `${id}-trouble` });
  const help = element("p", { class: "help", id: `${id}-help` }, of.description);
  control.setAttribute("aria-describedby", `${help.id} ${trouble.id}`);
  const row = element("div", { class: "row" }, element("label", { class: "mono", set: { for: id } }, of.name), control, element("span"), help, trouble);
  if (of.words.length > 0 && of.kind === "number") row.append(element("datalist", { id: `${id}-words` }, ...of.words.map((word) => new Option(word))));
  trouble.hidden = true;
  return { of, control, trouble, row };
}

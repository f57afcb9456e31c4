/** The status: state, books, rates, outputs; and start, stop, abort. */
import type { App } from "../app.ts";
import { ApiError } from "../api.ts";
import type { Status } from "../api_types.ts";
import { agree } from "../dialog.ts";
import type { Panel } from "../panels.ts";
import { button, element, mark, tell } from "../dom.ts";
import { short } from "../numbers.ts";
import { followAll } from "../signal.ts";
import { stateWords } from "../state_words.ts";
import { text } from "../text.ts";
import { mayChange } from "./role.ts";
import { bookRows, booksClose, bytes, progressOf, sinkWords, startBody, urgent } from "./status_words.ts";

/** Facts whose values change in place, so that neither the focus nor a selection is lost. */
class Facts {
  readonly element = element("dl", { class: "facts" });
  #values = new Map<string, { term: HTMLElement; value: HTMLElement }>();

  set(rows: readonly { id: string; term: string; value: string; tone?: string; title?: string }[]): void {
    const ids = new Set(rows.map((row) => row.id));
    for (const [id, { term, value }] of this.#values) {
      if (ids.has(id)) continue;
      term.remove();
      value.remove();
      this.#values.delete(id);
    }
    for (const row of rows) {
      let held = this.#values.get(row.id);
      if (held === undefined) {
        held = { term: element("dt", {}, row.term), value: element("dd", { set: { "data-fact": row.id } }) };
        this.#values.set(row.id, held);
        this.element.append(held.term, held.value);
      }
      tell(held.value, row.value);
      mark(held.value, "class", row.tone ?? "");
      mark(held.value, "title", row.title ?? "");
    }
  }
}

/** states in which there is something to stop */
const RUNS: readonly string[] = ["arming", "measuring", "finishing"];

export function statusPanel(container: HTMLElement, app: App): Panel {
  const words = text.desk.statusPanel;
  const stops: (() => void)[] = [];
  const state = element("span", { class: "badge" });
  const reason = element("span", { class: "soft" });
  const alert = element("p", { class: "trouble pad", role: "alert" });
  const act = async (path: string): Promise<void> => {
    try {
      app.store.status.value = await app.api.json<Status>(path, { method: "POST", ...(path === "start" ? { body: {} } : {}) });
    } catch (error) {
      app.fail(error);
    }
  };
  const stop = button(words.stop, () => void agree(words.stop, words.stopWords, words.stop).then((yes) => (yes ? act("stop") : undefined)));
  const abort = button(words.abort, () => void agree(words.abort, words.abortWords, words.abort).then((yes) => (yes ? act("abort") : undefined)), { class: "danger" });
  const clear = button(words.clear, () => void act("clear_error"));
  const start = startForm(app, stops);
  stops.push(mayChange(app, [clear], text.desk.viewOnly));
  const progress = element("progress", { label: words.progress, set: { max: "1" } });
  const series = new Facts(), books = new Facts(), rates = new Facts(), queues = new Facts();
  const sinks = element("ul", { class: "sinks", label: words.sinks });
  const closes = element("p", { class: "small" });
  const lost = element("p", { class: "empty" }, text.shell.unreachable);
  const content = element(
    "div", { class: "body pad status" },
    element("section", { label: words.series }, element("h3", {}, words.series), series.element, progress),
    element("section", { label: words.books }, element("h3", {}, words.books), books.element, closes),
    element("section", { label: words.rates }, element("h3", {}, words.rates), rates.element),
    element("section", { label: words.queues }, element("h3", {}, words.queues), queues.element),
    element("section", { label: words.sinks }, element("h3", {}, words.sinks), sinks),
    start,
  );
  container.append(element("div", { class: "toolbar" }, state, reason, element("span", { class: "spacer" }), stop, abort, clear), alert, lost, content);

  const show = (): void => {
    const status = app.store.status.value;
    const session = app.store.session.value;
    const now = stateWords(status, session, true);
    tell(state, now.words);
    mark(state, "class", `badge ${now.tone}`);
    tell(reason, status?.reason ?? "");
    const why = session.role !== "control" ? text.desk.viewOnly : RUNS.includes(status?.state ?? "") ? "" : words.nothingRuns;
    for (const each of [stop, abort]) {
      each.disabled = why !== "";
      each.title = why;
    }
    const loud = urgent(status, words.urgent);
    if (alert.textContent !== loud) alert.textContent = loud;
    alert.hidden = loud === "";
    lost.hidden = status !== null;
    content.hidden = status === null;
    const stream = session.source === "stream";
    stop.hidden = abort.hidden = start.hidden = !stream;
    clear.hidden = status?.state !== "error";
    if (status !== null) fill(status);
  };
  const fill = (status: Status): void => {
    const info = status.series;
    series.set(info === null ? [{ id: "none", term: words.series, value: words.noSeries }] : [
      { id: "series", term: words.key, value: info.series },
      { id: "name", term: words.name, value: info.name },
      { id: "phase", term: words.phase, value: `${info.phase}${info.reason ? `: ${info.reason}` : ""}` },
      { id: "shape", term: words.shape, value: info.shape.join(" × ") },
      ...(info.error ? [{ id: "error", term: words.trouble, value: info.error, tone: "bad" }] : []),
      { id: "files", term: words.files, value: String(info.files.length), title: info.files.join("\n") },
    ]);
    const share = info === null ? null : progressOf(info.books);
    progress.hidden = share === null;
    progress.value = share ?? 0;
    const bad = new Set(["skipped", "failed", "missing", "dropped"]);
    books.set(info === null ? [] : bookRows(info.books).map(({ id, count }) => ({
      id, term: words.book[id] ?? id, value: count === null ? text.desk.unknown : String(count), tone: `number ${bad.has(id) && (count ?? 0) > 0 ? "bad" : ""}`,
    })));
    closes.hidden = info === null;
    closes.textContent = info === null ? "" : booksClose(info.books) ? words.booksClose : words.booksOpen;
    closes.className = `small ${info !== null && !booksClose(info.books) ? "bad" : "soft"}`;
    const rate = (name: string): string => `${short(status.rates[name]?.["1s"], 4)} · ${short(status.rates[name]?.["10s"], 4)}`;
    const time = (value: number | null | undefined): string => (value === null || value === undefined ? text.desk.unknown : `${short(1000 * value, 3)} ms`);
    rates.set([
      { id: "rate_in", term: words.rateIn, value: rate("in"), tone: "number" },
      { id: "rate_analysed", term: words.rateAnalysed, value: rate("analysed"), tone: "number" },
      { id: "p50", term: words.latency50, value: time(status.latency.p50), tone: "number" },
      { id: "p99", term: words.latency99, value: time(status.latency.p99), tone: "number" },
    ]);
    const { queue } = status;
    const skipping = Number(queue.skipping ?? 1);
    queues.set([
      { id: "waiting", term: words.waiting, value: words.images(Number(queue.images ?? 0)), tone: "number" },
      { id: "memory", term: words.memory, value: `${bytes(Number(queue.bytes ?? 0))} / ${bytes(Number(queue.budget ?? 0))}`, tone: "number" },
      ...(skipping > 1 ? [{ id: "skipping", term: words.skipping, value: words.everyNth(skipping), tone: "bad" }] : []),
      ...status.devices.map((device, index) => ({ id: `device-${index}`, term: words.device, value: `${String(device.name)} (${String(device.threads ?? "?")})` })),
      { id: "viewers", term: words.viewers, value: String(status.viewers), tone: "number" },
      { id: "version", term: words.version, value: status.version },
    ]);
    const every = Object.entries(status.sinks).map(([name, sink]) => sinkWords(name, sink));
    const key = JSON.stringify(every);
    if (sinks.dataset.key === key) return;
    sinks.dataset.key = key;
    sinks.replaceChildren(...every.map((sink) => element(
      "li", { title: sink.facts },
      element("span", { class: `badge ${sink.trouble === "" ? "good" : "bad"}` }, sink.trouble === "" ? words.well : words.troubled),
      element("span", {}, sink.name), element("span", { class: sink.trouble === "" ? "soft small" : "bad" }, sink.trouble === "" ? sink.facts : sink.trouble),
    )));
  };
  stops.push(followAll([app.store.status, app.store.session] as never, show, true));
  return { dispose: () => stops.forEach((each) => each()) };
}

/** What the next series is called, and what is known of it. */
function startForm(app: App, stops: (() => void)[]): HTMLElement {
  const words = text.desk.statusPanel;
  const form = element("form", { class: "form desk-form", label: words.start });
  const controls = new Map<string, HTMLInputElement>();
  const row = (name: string, unit = "", type = "text"): HTMLElement => {
    const control = element("input", { type, id: `start-${name}`, class: type === "checkbox" || name === "prefix" ? undefined : "number", set: { autocomplete: "off", maxlength: "200" } } as never);
    controls.set(name, control);
    return element("div", { class: "row" }, element("label", { set: { for: control.id } }, words.fields[name] ?? name), control, element("span", { class: "unit" }, unit));
  };
  const group = (legend: string, ...rows: HTMLElement[]): HTMLElement => element("details", {}, element("summary", {}, legend), ...rows);
  const trouble = element("p", { class: "trouble", role: "alert" });
  const told = element("p", { class: "good", role: "status" });
  const send = element("button", { type: "submit", class: "primary" }, words.start);
  form.append(
    row("prefix"), row("images"),
    group(words.grid, row("n_fast"), row("n_slow"), row("step_x", "µm"), row("step_y", "µm"), row("snake", "", "checkbox"), row("vertical", "", "checkbox")),
    group(words.geometry, row("distance", "mm"), row("wavelength", "Å"), row("beam_slow", "px"), row("beam_fast", "px")),
    trouble, told, element("div", { class: "actions" }, send),
  );
  stops.push(mayChange(app, [...controls.values(), send], text.desk.viewOnly));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = Object.fromEntries([...controls].map(([name, control]) => [name, control.type === "checkbox" ? String(control.checked) : control.value]));
    const body = startBody(fields, { number: words.wrongNumber }, words.fields);
    told.textContent = "";
    trouble.textContent = typeof body === "string" ? body : "";
    if (typeof body === "string") return;
    void app.api.json<Status>("start", { method: "POST", body }).then(
      (status) => {
        app.store.status.value = status;
        told.textContent = words.armed;
      },
      (error: unknown) => {
        trouble.textContent = (error as Error).message;
        const place = error instanceof ApiError ? controls.get(PLACES[error.field ?? ""] ?? error.field ?? "") : undefined;
        place?.focus();
      },
    );
  });
  return element("section", { label: words.startTitle }, element("h3", {}, words.startTitle), form);
}

const PLACES: Record<string, string> = {
  "grid.n_fast": "n_fast", "grid.n_slow": "n_slow", "grid.step_x_um": "step_x", "grid.step_y_um": "step_y",
  "geometry.distance": "distance", "geometry.wavelength": "wavelength",
};

/** The log: what happened, the newest first, and a place to write a note. */
import type { App } from "../app.ts";
import type { ServiceEvent } from "../api_types.ts";
import type { Panel, Params } from "../panels.ts";
import { button, element } from "../dom.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { EventFeed } from "./events.ts";
import { filtered, imageOf, kindOf, LOG_KINDS, seriesOf, timeOf, toneOf, wordsOf, type LogKind } from "./log_words.ts";
import { mayChange } from "./role.ts";
import { showImage } from "./show_image.ts";

/** rows in the document; older ones are there by the search and in the files */
const MOST_ROWS = 500;
const LONGEST_NOTE = 2000;

export function logPanel(container: HTMLElement, app: App, params: Params, feed: EventFeed): Panel {
  const words = text.desk.logPanel;
  const stops: (() => void)[] = [];
  const off = new Set(Array.isArray(params.off) ? (params.off as LogKind[]) : []);
  let paused: readonly ServiceEvent[] | null = null;

  const search = element("input", { type: "search", label: words.search, set: { placeholder: words.search, maxlength: "200" } });
  const kinds = LOG_KINDS.map((kind) => {
    const made = button(words.kinds[kind], () => {
      if (!off.delete(kind)) off.add(kind);
      made.setAttribute("aria-pressed", String(!off.has(kind)));
      show();
    });
    made.setAttribute("aria-pressed", String(!off.has(kind)));
    return made;
  });
  const pause = button(words.pause, () => {
    paused = paused === null ? feed.events.value : null;
    pause.setAttribute("aria-pressed", String(paused !== null));
    show();
  });
  pause.setAttribute("aria-pressed", "false");
  const line = element("span", { class: "badge", role: "status" });
  const list = element("ol", { class: "log body", label: words.list, set: { tabindex: "0" } });
  const empty = element("p", { class: "empty" }, words.empty);
  const notes = noteForm(app, stops);
  container.append(
    element("div", { class: "toolbar" }, search, element("span", { class: "group", role: "group", label: words.kindsLabel }, ...kinds), pause, line),
    empty, list, notes,
  );

  const rows = new Map<string, HTMLElement>();
  const show = (): void => {
    const all = paused ?? feed.events.value;
    const some = filtered(all, { kinds: new Set(LOG_KINDS.filter((kind) => !off.has(kind))), search: search.value });
    const shown = some.slice(-MOST_ROWS).reverse();
    const held = new Set(shown.map(keyOf));
    for (const [key, row] of rows) {
      if (held.has(key)) continue;
      row.remove();
      rows.delete(key);
    }
    let after: Element | null = null;
    for (const event of shown) {
      const key = keyOf(event);
      let row = rows.get(key);
      if (row === undefined) {
        row = rowOf(app, event);
        rows.set(key, row);
      }
      const place: Element | null = after === null ? list.firstElementChild : after.nextElementSibling;
      if (place !== row) list.insertBefore(row, place);
      after = row;
    }
    empty.hidden = shown.length > 0;
    list.hidden = shown.length === 0;
    const fresh = paused === null ? 0 : feed.events.value.length - paused.length;
    line.hidden = feed.open.value && paused === null && some.length <= MOST_ROWS;
    line.className = `badge ${feed.open.value ? "" : "warn"}`;
    line.textContent = !feed.open.value ? words.closed : paused !== null ? words.fresh(fresh) : words.more(some.length - MOST_ROWS);
  };
  search.addEventListener("input", show);
  stops.push(followAll([feed.events, feed.open] as never, show, true));
  return {
    dispose: () => stops.forEach((stop) => stop()),
    params: () => (off.size > 0 ? { off: [...off] } : {}),
  };
}

const keyOf = (event: ServiceEvent): string => `${event.number}-${event.time}`;

function rowOf(app: App, event: ServiceEvent): HTMLElement {
  const image = imageOf(event);
  const about = element("span", { class: "about" });
  if (image !== null) {
    about.append(button(text.desk.logPanel.image(image), () => showImage(app, seriesOf(event), image), { class: "quiet", title: text.desk.logPanel.showImage(image) }));
  }
  return element(
    "li", { class: `log-row ${toneOf(event)}`, set: { "data-kind": kindOf(event), "data-number": String(event.number) } },
    element("time", { title: new Date(event.time / 1e6).toISOString() }, timeOf(event.time)),
    element("span", { class: "kind" }, text.desk.logPanel.kind[kindOf(event)]),
    element("bdi", { class: "words", title: seriesOf(event) ?? "" }, wordsOf(event)),
    about,
  );
}

function noteForm(app: App, stops: (() => void)[]): HTMLElement {
  const words = text.desk.logPanel;
  const input = element("textarea", { label: words.note, set: { placeholder: words.note, maxlength: String(LONGEST_NOTE), rows: "2", dir: "auto", "data-note": "" } });
  const about = element("input", { type: "checkbox", id: "note-about" });
  const label = element("label", { set: { for: "note-about" } });
  const send = element("button", { type: "submit", class: "primary" }, words.add);
  const trouble = element("p", { class: "trouble", role: "alert" });
  const form = element("form", { class: "note-form" }, input, element("div", { class: "bar" }, about, label, element("span", { class: "spacer" }), send), trouble);
  const show = (): void => {
    const image = app.store.image.value;
    about.disabled = image === null;
    label.textContent = image === null ? words.aboutNone : words.about(image.number);
  };
  stops.push(app.store.image.follow(show, true), mayChange(app, [input, send], text.desk.viewOnly));
  about.checked = true;
  const post = async (): Promise<void> => {
    const image = about.checked ? app.store.image.value : null;
    const body = { text: input.value, ...(image === null ? {} : { image: image.number, series: image.series }) };
    send.disabled = true;
    try {
      const made = await app.api.json<{ filed: boolean }>("notes", { method: "POST", body });
      input.value = "";
      trouble.textContent = "";
      if (!made.filed) app.tell(words.notFiled);
    } catch (error) {
      trouble.textContent = (error as Error).message;
    } finally {
      send.disabled = app.store.session.value.role !== "control";
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void post();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void post();
  });
  return form;
}

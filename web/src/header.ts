/** The bar at the top: what the service does, what is looked at, and the menus. */
import type { App } from "./app.ts";
import { button, element, mark, tell } from "./dom.ts";
import type { LayoutDesk } from "./layout_desk.ts";
import { menuButton, type MenuEntry } from "./menu.ts";
import { calmly, followAll, type Signal } from "./signal.ts";
import { choices, lostOf, rateWords, stateWords, type Choice } from "./state_words.ts";
import { text } from "./text.ts";
import { CHOICES, type Choice as Theme } from "./theme.ts";

export interface Doors {
  help(): void;
  commands(): void;
}

export function fillHeader(target: HTMLElement, app: App, layouts: LayoutDesk, theme: Signal<Theme>, doors: Doors): void {
  target.append(
    element("span", { class: "brand" }, text.shell.title),
    stateBadge(app), seriesPicker(app), imagePlace(app), figures(app), app.frame.alarms,
    element("span", { class: "spacer" }), roleBadge(app),
    element(
      "div", { class: "bar", role: "toolbar", label: text.shell.title },
      menuButton(text.shell.panels, () => panelEntries(app)),
      menuButton(text.shell.layout, async () => {
        // what the server has now, if it says so at once
        await Promise.race([layouts.refresh(), new Promise((resolve) => setTimeout(resolve, 400))]);
        return layouts.menu();
      }),
      button(text.shell.commands, doors.commands, { title: "Ctrl+K" }),
      button("?", doors.help, { class: "icon", label: text.shell.helpTitle, title: text.shell.helpTitle }),
      menuButton("◐", () => themeEntries(theme), text.shell.themeLabel, false),
    ),
  );
}

function stateBadge(app: App): HTMLElement {
  const badge = element("span", { class: "badge state", role: "status", set: { "aria-live": "polite" } });
  let asked = false;
  const show = (): void => {
    const status = app.store.status.value;
    asked ||= status !== null;
    const { words, tone, title } = stateWords(status, app.store.session.value, asked);
    tell(badge, words);
    mark(badge, "class", `badge state ${tone}`);
    mark(badge, "title", title);
  };
  followAll([app.store.status, app.store.session] as never, show, true);
  return badge;
}

function seriesPicker(app: App): HTMLElement {
  const { store } = app;
  const select = element("select", { label: text.shell.series, title: text.shell.series, class: "series" });
  let shown = "";
  const options = (each: readonly Choice[]): HTMLElement[] => each.map(({ key, words }) => element("option", { set: { value: key } }, words));
  const show = (): void => {
    const chosen = store.series.value;
    const { stream, files, other } = choices(store.streamed.value, store.opened.value, chosen);
    const now = JSON.stringify([stream, files, other]);
    if (now !== shown && !(document.activeElement === select && select.matches(":open"))) {
      shown = now;
      const groups: HTMLElement[] = [];
      if (store.session.value.source === "stream" || stream.length > 0) {
        const newest = element("option", { set: { value: "" } }, stream[0] === undefined ? `${text.shell.newest}: ${text.shell.noSeries}` : text.shell.newest);
        groups.push(element("optgroup", { set: { label: text.shell.streamed } }, newest, ...options(stream)));
      } else {
        groups.push(element("option", { set: { value: "" } }, text.shell.noSeries));
      }
      if (files.length > 0) groups.push(element("optgroup", { set: { label: text.shell.opened } }, ...options(files)));
      if (other !== null) groups.push(...options([other]));
      select.replaceChildren(...groups);
    }
    select.value = chosen ?? "";
  };
  select.addEventListener("change", () => {
    store.series.value = select.value === "" ? null : select.value;
  });
  followAll([store.series, store.streamed, store.opened, store.session] as never, show, true);
  return select;
}

/** The number of the image, and whether the newest one is shown. */
function imagePlace(app: App): HTMLElement {
  const { store } = app;
  const number = element("span", { class: "number" });
  const live = button(text.shell.live, () => {
    store.mode.value = store.mode.value === "live" ? "hold" : "live";
  }, { class: "live", title: text.shell.liveHelp });
  const show = (): void => {
    const image = store.image.value;
    const series = store.streamed.value.find((each) => each.series === image?.series) ?? store.status.value?.series;
    const count = series?.series === image?.series ? series?.expected : null;
    tell(number, image === null ? text.shell.noImage : `${text.shell.image(image.number)}${count == null ? "" : ` ${text.shell.ofImages(count)}`}`);
    mark(live, "aria-pressed", String(store.mode.value === "live"));
    live.hidden = store.session.value.source === "files";
  };
  followAll([store.image, store.mode, store.streamed, store.status, store.session] as never, calmly(show), true);
  return element("span", { class: "bar place" }, live, number);
}

function figures(app: App): HTMLElement {
  const rates = element("span", { class: "number soft", title: text.shell.rateTitle });
  const lost = element("span", { class: "badge bad number", title: text.shell.lostTitle });
  const viewers = element("span", { class: "soft number" });
  const show = (): void => {
    const status = app.store.status.value;
    const stream = app.store.session.value.source === "stream";
    rates.hidden = status === null || !stream;
    tell(rates, `${text.shell.rateIn} ${rateWords(status?.rates.in?.["10s"])}/s · ${text.shell.rateDone} ${rateWords(status?.rates.analysed?.["10s"])}/s`);
    const count = lostOf(status?.series);
    lost.hidden = count === 0;
    tell(lost, text.shell.lostImages(count));
    viewers.hidden = !status?.viewers;
    tell(viewers, text.shell.viewers(status?.viewers ?? 0));
  };
  followAll([app.store.status, app.store.session] as never, show, true);
  return element("span", { class: "bar figures" }, rates, lost, viewers);
}

function roleBadge(app: App): HTMLElement {
  const badge = element("span", { class: "badge", title: text.shell.viewOnly }, text.shell.viewOnlyBadge);
  app.store.session.follow((session) => {
    badge.hidden = session.role !== "view";
    document.documentElement.dataset.role = session.role ?? "none";
  }, true);
  return badge;
}

/** The panels that are open, and those that can be opened. */
function panelEntries(app: App): MenuEntry[] {
  const { panels } = app;
  const seen = panels.seen;
  const entries: MenuEntry[] = [{ section: text.shell.openPanels }];
  for (const panel of panels.all) {
    const number = seen.indexOf(panel) + 1;
    entries.push({ text: panel.title ?? panel.id, hint: number > 0 && number < 10 ? String(number) : "", press: () => panels.focus(panel) });
  }
  entries.push({ section: text.shell.morePanels });
  for (const kind of panels.kinds) {
    const isOpen = panels.all.some((panel) => panel.view.contentComponent === kind.id);
    if (isOpen && kind.many !== true) continue;
    entries.push({ text: isOpen ? text.shell.anotherPanel(kind.title) : kind.title, press: () => panels.open(kind.id) });
  }
  return entries;
}

function themeEntries(theme: Signal<Theme>): MenuEntry[] {
  return CHOICES.map((choice) => ({
    text: text.shell.theme[choice], radio: true, checked: theme.value === choice, press: () => (theme.value = choice),
  }));
}

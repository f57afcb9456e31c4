/** The page: a session first, then the desk with its panels. */
import { AddressBar } from "./address_bar.ts";
import { Api, ApiError } from "./api.ts";
import type { Session } from "./api_types.ts";
import type { App } from "./app.ts";
import { Commands } from "./commands.ts";
import * as desk from "./desk/index.ts";
import { element } from "./dom.ts";
import { fillHeader } from "./header.ts";
import { pageCommands, showHelp, showPalette } from "./help.ts";
import * as image from "./image/index.ts";
import * as jobs from "./jobs/index.ts";
import { Keys } from "./keys.ts";
import { LayoutDesk } from "./layout_desk.ts";
import { Live } from "./live.ts";
import { Messages } from "./messages.ts";
import { Panels } from "./panels.ts";
import * as plots from "./plots/index.ts";
import { PRESETS, usualPreset } from "./presets.ts";
import * as regions from "./regions/index.ts";
import { Service, toldOf } from "./service.ts";
import { Sessions } from "./session.ts";
import { Store } from "./store.ts";
import { text } from "./text.ts";
import { CHOICES, followTheme } from "./theme.ts";
import * as whatif from "./whatif/index.ts";

const PARTS = [image, regions, plots, desk, whatif, jobs];

function place(id: string): HTMLElement {
  const there = document.getElementById(id);
  if (there === null) throw new Error(`the page has no ${id}`);
  return there;
}

async function begin(): Promise<void> {
  const base = document.baseURI;
  const store = new Store();
  const theme = followTheme(store.theme);
  const messages = new Messages();
  const readout = element("div", { class: "readout" });
  place("bottom").append(messages.element, readout);
  const api = new Api(base);
  const sessions = new Sessions(api);
  store.session.value = await firstSession(sessions, messages);

  const app: App = {
    api, store, live: new Live(base), keys: new Keys(), panels: new Panels(), commands: new Commands(),
    frame: { alarms: element("div", { class: "alarms" }), readout },
    tell: (words, loudness, action) => messages.tell(words, loudness, action),
    fail: (error) => {
      if (error instanceof DOMException && error.name === "AbortError") return;
      // that nobody answers is told once, by what asks again and again
      if (error instanceof ApiError && error.reason === "unreachable") return;
      messages.tell(error instanceof Error ? error.message : String(error), "error");
      if (!(error instanceof ApiError)) console.error(error);
    },
  };
  sessions.renewed = (session) => {
    store.session.value = session;
    app.live.retry();
  };

  const layouts = new LayoutDesk(app);
  const doors = { help: showHelp, commands: () => showPalette(app) };
  fillHeader(place("top"), app, layouts, theme, doors);
  panelKeys(app, doors);
  for (const part of PARTS) part.register(app);
  app.commands.add(() => pageCommands(app));
  app.commands.add(() => [
    ...PRESETS.map(({ id, title }) => ({ section: text.shell.layoutSection, text: title, run: () => void layouts.choose(id) })),
    ...layouts.names.value.map((name) => ({ section: text.shell.layoutSection, text: name, run: () => void layouts.choose(name) })),
    ...CHOICES.map((choice) => ({ section: text.shell.themeSection, text: text.shell.theme[choice], run: () => (theme.value = choice) })),
  ]);

  const bar = new AddressBar(app, layouts.name, usualPreset(store.session.value.source));
  const address = bar.read();
  bar.show(address);
  app.panels.mount(place("desk"), app);
  await layouts.begin(address.layout);
  bar.begin((name) => void layouts.choose(name));
  void layouts.refresh();
  new Service(app, toldOf(app, () => app.live.retry(), (words) => messages.untell(words))).now();
}

/** A session, however long it takes until the service answers. */
async function firstSession(sessions: Sessions, messages: Messages): Promise<Session> {
  for (;;) {
    try {
      const session = await sessions.begin();
      messages.untell(text.shell.unreachable);
      return session;
    } catch (error) {
      messages.tell(error instanceof Error ? error.message : String(error), "error");
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

function panelKeys(app: App, doors: { help(): void; commands(): void }): void {
  const { keys, panels } = app;
  keys.on("help", doors.help);
  keys.on("commands", doors.commands);
  keys.on("next-panel", () => panels.step(1));
  keys.on("previous-panel", () => panels.step(-1));
  keys.on("panel-by-number", (event) => panels.focus(panels.seen[Number(event.key) - 1]));
  keys.on("next-tab", () => panels.tab(1));
  keys.on("previous-tab", () => panels.tab(-1));
  keys.on("maximise-panel", () => panels.maximise(panels.active));
  keys.on("float-panel", () => panels.float(panels.active));
  for (const side of ["left", "right", "up", "down"] as const) keys.on(`panel-${side}`, () => panels.move(panels.active, side));
}

void begin();

/** The desk: status, settings, log and notes, alarms, exports. */
import type { App } from "../app.ts";
import { element } from "../dom.ts";
import { text } from "../text.ts";
import { AlarmStore } from "./alarm_store.ts";
import { alarmsPanel } from "./alarms_panel.ts";
import { banner } from "./banner.ts";
import { EventFeed } from "./events.ts";
import { Exports } from "./export_menu.ts";
import { logPanel } from "./log_panel.ts";
import { settingsPanel } from "./settings_panel.ts";
import { Sound } from "./sound.ts";
import { statusPanel } from "./status_panel.ts";

export function register(app: App): void {
  const feed = new EventFeed((after) => app.api.address("events", { after }));
  const alarms = new AlarmStore(app, feed);
  const sound = new Sound();
  alarms.rang.follow(() => sound.ring());
  banner(app, alarms);
  app.panels.register({ id: "status", title: text.desk.status, make: (container) => statusPanel(container, app) });
  app.panels.register({ id: "settings", title: text.desk.settings, make: (container) => settingsPanel(container, app, feed) });
  app.panels.register({ id: "log", title: text.desk.log, make: (container, _app, params) => logPanel(container, app, params, feed) });
  app.panels.register({ id: "alarms", title: text.desk.alarms, make: (container) => alarmsPanel(container, app, alarms, sound) });

  const exports = new Exports(app, feed);
  const menu = element("button", { type: "button", set: { "aria-haspopup": "menu", "aria-expanded": "false" } }, text.desk.exports.title);
  menu.append(element("span", { class: "soft", set: { "aria-hidden": "true" } }, "▾"));
  menu.addEventListener("click", () => exports.open(menu));
  app.frame.alarms.after(menu);
  app.keys.on("export", () => exports.open(menu));
  app.keys.on("note", () => {
    app.panels.open("log");
    // a panel that was just opened is made in this turn, and seen in the next frame
    requestAnimationFrame(() => document.querySelector<HTMLElement>("[data-note]")?.focus());
  });
  app.commands.add(() => exports.entries().flatMap((entry) => ("press" in entry && entry.disabled !== true
    ? [{ section: text.desk.exports.title, text: entry.text, run: () => entry.press() }]
    : [])));
}

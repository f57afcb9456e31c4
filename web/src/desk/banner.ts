/** What is wrong, in the bar at the top: alarms that are tripped, a state of error, a stall. Said aloud once each. */
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { AlarmStore } from "./alarm_store.ts";
import { urgent } from "./status_words.ts";

export function banner(app: App, store: AlarmStore): void {
  const said = element("p", { class: "hidden-words", role: "alert" });
  document.body.append(said);
  const show = (): void => {
    const tripped = store.tripped.value;
    const status = app.store.status.value;
    const loud = status === null ? "" : urgent(status, text.desk.statusPanel.urgent);
    const parts = [...(loud === "" ? [] : [loud]), ...tripped.map((alarm) => text.desk.tripped(alarm.name, alarm.text))];
    const words = parts.join("; ");
    if (said.textContent !== words) said.textContent = words;
    app.frame.alarms.replaceChildren(...tripped.slice(0, 3).map((alarm) => button(
      text.desk.alarmBadge(alarm.name), () => app.panels.open("alarms"), { class: "badge bad alarm-badge", title: alarm.text },
    )), ...(tripped.length > 3 ? [element("span", { class: "badge bad" }, `+${tripped.length - 3}`)] : []));
  };
  followAll([store.tripped, app.store.status] as never, show, true);
}

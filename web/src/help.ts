/** All keys, as the table of keys has them; and the palette, which finds what can be done by its words. */
import type { App } from "./app.ts";
import { matching, type Command } from "./commands.ts";
import { openDialog, type Opened } from "./dialog.ts";
import { element } from "./dom.ts";
import { KEYS, type Key } from "./keys.ts";
import { text } from "./text.ts";

const ARROWS: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };

/** A key as it is written on keyboards. */
export function keyCap(key: string): string {
  return key.split(/\+(?=.)/).map((part) => ARROWS[part] ?? (part.length === 1 && key.length > 1 ? part.toUpperCase() : part)).join("+");
}

/** Several keys in short: those of a row of digits by the first and the last. */
export function keyCaps(keys: readonly string[]): string[] {
  const caps = keys.map(keyCap);
  return caps.length > 4 ? [caps[0] ?? "", "…", caps.at(-1) ?? ""] : caps;
}

let help: Opened | null = null;

/** Show all keys; again closes that. */
export function showHelp(): void {
  if (help !== null) {
    help.close();
    return;
  }
  const sections = (Object.entries(KEYS) as [keyof typeof KEYS, readonly Key[]][]).filter(([, keys]) => keys.length > 0);
  const content = element("div", { class: "keys" }, ...sections.map(([name, keys]) =>
    element("section", {}, element("h3", {}, text.shell.sections[name]), element("dl", {}, ...keys.flatMap((key) => [
      element("dt", {}, ...keyCaps(key.keys).flatMap((cap) => (cap === "…" ? [" … "] : [element("kbd", {}, cap), " "]))),
      element("dd", {}, key.text, ...(key.where === "" ? [] : [element("span", { class: "soft small" }, ` ${text.shell.places[key.where]}`)])),
    ])))));
  help = openDialog(text.shell.helpTitle, [content], () => (help = null), "wide");
}

/** Commands of the page itself: panels, what keys do, and all that parts of the page added. */
export function pageCommands(app: App): Command[] {
  const { panels } = app;
  const words = text.shell.panelMenuItems;
  const section = text.shell.panelSection;
  const open = panels.kinds.map((kind) => ({
    section,
    text: kind.many === true && panels.all.some((panel) => panel.view.contentComponent === kind.id) ? text.shell.anotherPanel(kind.title) : text.shell.openPanel(kind.title),
    run: () => panels.open(kind.id),
  }));
  const keys = (Object.entries(KEYS) as [keyof typeof KEYS, readonly Key[]][]).flatMap(([name, all]) =>
    all.filter((key) => key.keys.length < 5 && key.id !== "commands").flatMap((key) => {
      const run = app.keys.action(key.id);
      return run === undefined ? [] : [{ section: text.shell.sections[name], text: key.text, hint: keyCap(key.keys[0] ?? ""), run }];
    }));
  const active = panels.active;
  const change = (name: string, run: () => void): Command => ({ section, text: name, run });
  return [
    ...open, ...keys,
    change(words.close, () => panels.close(active)),
    change(words.wider, () => panels.grow(active, 80, 0)), change(words.narrower, () => panels.grow(active, -80, 0)),
    change(words.taller, () => panels.grow(active, 0, 80)), change(words.lower, () => panels.grow(active, 0, -80)),
    change(`${words.move} ${words.beside}`, () => panels.split(active, "right")),
    change(`${words.move} ${words.below}`, () => panels.split(active, "down")),
  ];
}

/** Search among all commands, and do the one that is chosen. */
export function showPalette(app: App): void {
  const before = document.querySelector<HTMLDialogElement>("dialog.palette");
  if (before?.open === true) return;
  before?.remove(); // one that is just being closed is removed a moment later
  const all = app.commands.all;
  const input = element("input", {
    type: "text", label: text.shell.commandsLabel, role: "combobox",
    set: { placeholder: text.shell.commandsLabel, "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" },
  });
  const list = element("div", { class: "choices", role: "listbox", id: "palette-list", label: text.shell.commands });
  let now: Command[] = [];
  let at = 0;
  const mark = (): void => {
    [...list.children].forEach((each, index) => each.setAttribute("aria-selected", String(index === at)));
    const chosen = list.children[at];
    if (chosen !== undefined) {
      input.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const run = (index: number): void => {
    const command = now[index];
    if (command === undefined) return;
    opened.close();
    command.run();
  };
  const show = (): void => {
    now = matching(all, input.value).slice(0, 200);
    at = 0;
    list.replaceChildren(...now.map((command, index) => {
      const item = element(
        "div", { class: "item", role: "option", id: `palette-${index}` },
        element("span", { class: "soft" }, command.section), element("span", {}, command.text), element("span", { class: "hint" }, command.hint ?? ""),
      );
      item.addEventListener("click", () => run(index));
      return item;
    }));
    if (now.length === 0) list.append(element("p", { class: "empty" }, text.shell.noCommand));
    mark();
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (steps !== undefined) {
      at = Math.max(0, Math.min(now.length - 1, at + steps));
      mark();
    } else if (event.key === "Enter") run(at);
    else return;
    event.preventDefault();
  });
  const opened = openDialog(text.shell.commands, [input, list], () => {}, "palette");
  input.focus();
  show();
}

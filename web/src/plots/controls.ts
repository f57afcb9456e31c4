/** Controls of the toolbars of plots, maps and tables. */
import { button, element } from "../dom.ts";
import { text } from "../text.ts";

export function choice<T extends string>(
  label: string, options: readonly (readonly [T, string])[], now: T, change: (value: T) => void,
): HTMLSelectElement {
  const made = element("select", { label, title: label }, ...options.map(([value, words]) => {
    const option = element("option", { set: { value } }, words);
    option.selected = value === now;
    return option;
  }));
  made.addEventListener("change", () => change(made.value as T));
  return made;
}

/** A button that is on or off. */
export function toggle(words: string, meaning: string, now: boolean, change: (on: boolean) => void): HTMLButtonElement {
  const made = button(words, () => {
    const on = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-pressed", String(on));
    change(on);
  }, { title: meaning, set: { "aria-pressed": String(now) } });
  return made;
}

/** A number, or null where nothing is typed. */
export function numberField(
  label: string, placeholder: string, now: number | null, change: (value: number | null) => void,
): HTMLInputElement {
  const made = element("input", { type: "text", label, title: label, class: "number plots-number", set: { placeholder, inputmode: "decimal", size: "6" } });
  made.value = now === null ? "" : String(now);
  made.addEventListener("change", () => {
    const words = made.value.trim();
    const value = words === "" ? null : Number(words);
    const wrong = value !== null && !Number.isFinite(value);
    made.setAttribute("aria-invalid", String(wrong));
    if (!wrong) change(value);
  });
  return made;
}

export interface Offer {
  id: string;
  words: string;
  meaning: string;
  /** heading under which it stands */
  group?: string;
}

/** A button whose list has a box to tick for each offer. `offers` are asked for each time the list is opened. */
export function picker(
  words: string, meaning: string, offers: () => Promise<readonly Offer[]>, chosen: () => readonly string[],
  change: (chosen: string[]) => void, fail: (error: unknown) => void,
): HTMLElement {
  const list = element("div", { class: "plots-picker-list", role: "group", label: meaning });
  const search = element("input", { type: "search", label: text.plots.search, set: { placeholder: text.plots.search } });
  const box = element("div", { class: "plots-picker", set: { popover: "auto" } }, search, list);
  const narrow = (): void => {
    const wanted = search.value.toLowerCase();
    for (const line of list.querySelectorAll<HTMLElement>("label")) {
      line.hidden = !(line.textContent + line.title).toLowerCase().includes(wanted);
    }
  };
  const fill = async (): Promise<void> => {
    const groups: Node[] = [];
    let group = "";
    for (const offer of await offers()) {
      if (offer.group !== undefined && offer.group !== group) groups.push(element("p", { class: "small soft" }, offer.group));
      group = offer.group ?? group;
      const tick = element("input", { type: "checkbox", set: { value: offer.id } });
      tick.checked = chosen().includes(offer.id);
      tick.addEventListener("change", () => {
        const now = chosen().filter((each) => each !== offer.id);
        change(tick.checked ? [...now, offer.id] : now);
      });
      groups.push(element("label", { title: offer.meaning }, tick, element("span", {}, offer.words), element("span", { class: "soft small" }, offer.meaning)));
    }
    list.replaceChildren(...groups);
    narrow();
  };
  const open = button(words, () => box.togglePopover(), { title: meaning, label: meaning, set: { "aria-haspopup": "true", "aria-expanded": "false" } });
  search.addEventListener("input", narrow);
  box.addEventListener("toggle", (event) => {
    const opened = (event as ToggleEvent).newState === "open";
    open.setAttribute("aria-expanded", String(opened));
    if (!opened) return;
    const at = open.getBoundingClientRect();
    box.style.left = `${Math.max(Math.min(at.left, innerWidth - box.offsetWidth - 8), 8)}px`;
    box.style.top = `${at.bottom + 2}px`;
    box.style.maxHeight = `${Math.max(innerHeight - at.bottom - 12, 160)}px`;
    search.focus();
    fill().catch(fail);
  });
  return element("span", {}, open, box);
}

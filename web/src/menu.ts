/** Menus: below a button, or at a place; by mouse, and by keyboard as menus of programs are. */
import { element } from "./dom.ts";

export interface MenuItem {
  text: string;
  press(): void;
  /** a mark before it: it is on, or off */
  checked?: boolean;
  /** one of several that exclude each other */
  radio?: boolean;
  /** at the right: its key, or what it is about */
  hint?: string;
  disabled?: boolean;
  /** of what it is about, said by a tool tip */
  title?: string;
}

/** A heading, or a line where it has no words. */
export interface MenuSection {
  section: string;
}

export type MenuEntry = MenuItem | MenuSection;

export interface Spot {
  x: number;
  y: number;
}

let closeOpen: (() => void) | null = null;

/** Show a menu below an element, or at a place of the window. */
export function openMenu(at: HTMLElement | Spot, entries: readonly MenuEntry[], label: string): void {
  closeOpen?.();
  const before = document.activeElement;
  const menu = element("div", { class: "menu", role: "menu", label });
  const items: HTMLElement[] = [];
  for (const entry of entries) {
    if ("section" in entry) {
      menu.append(entry.section === "" ? element("hr") : element("div", { class: "section", role: "presentation" }, entry.section));
      continue;
    }
    const role = entry.checked === undefined ? "menuitem" : entry.radio === true ? "menuitemradio" : "menuitemcheckbox";
    const item = element(
      "div", { role, class: "item", title: entry.title, set: { tabindex: "-1" } },
      element("span", { class: "mark", set: { "aria-hidden": "true" } }, entry.checked === true ? (entry.radio === true ? "●" : "✓") : ""),
      element("span", {}, entry.text),
      element("span", { class: "hint" }, entry.hint ?? ""),
    );
    if (entry.checked !== undefined) item.setAttribute("aria-checked", String(entry.checked));
    if (entry.disabled === true) item.setAttribute("aria-disabled", "true");
    item.addEventListener("click", () => {
      if (entry.disabled === true) return;
      close(true);
      entry.press();
    });
    item.addEventListener("mousemove", () => item.focus());
    items.push(item);
    menu.append(item);
  }

  const close = (back: boolean): void => {
    closeOpen = null;
    menu.remove();
    document.removeEventListener("pointerdown", outside, true);
    window.removeEventListener("blur", away);
    if (at instanceof HTMLElement) at.setAttribute("aria-expanded", "false");
    if (back && before instanceof HTMLElement) before.focus();
  };
  const away = (): void => close(false);
  const outside = (event: Event): void => {
    // a click on the button that opened it closes it as well
    if (menu.contains(event.target as Node) || (at instanceof HTMLElement && at.contains(event.target as Node))) return;
    close(false);
  };
  menu.addEventListener("keydown", (event) => {
    const index = items.indexOf(document.activeElement as HTMLElement);
    const next = indexAfter(event.key, index, items.map((item) => item.children[1]?.textContent ?? ""));
    if (next !== null) items[next]?.focus();
    else if (event.key === "Enter" || event.key === " ") items[index]?.click();
    else if (event.key === "Escape" || event.key === "Tab") close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  document.body.append(menu);
  place(menu, at);
  if (at instanceof HTMLElement) at.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  window.addEventListener("blur", away);
  closeOpen = () => close(false);
  (items[0] ?? menu).focus();
}

/** Where a key leads in a list of texts; null = it is no such key. A letter leads to the next text that begins so. */
export function indexAfter(key: string, index: number, texts: readonly string[]): number | null {
  const count = texts.length;
  if (count === 0) return null;
  if (key === "ArrowDown") return (index + 1) % count;
  if (key === "ArrowUp") return (index - 1 + count) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (key.length !== 1 || key === " ") return null;
  for (let step = 1; step <= count; step += 1) {
    const at = (index + step + count) % count;
    if (texts[at]?.toLowerCase().startsWith(key.toLowerCase())) return at;
  }
  return null;
}

function place(menu: HTMLElement, at: HTMLElement | Spot): void {
  const box = at instanceof HTMLElement ? at.getBoundingClientRect() : { left: at.x, bottom: at.y, top: at.y };
  const left = Math.max(4, Math.min(box.left, window.innerWidth - menu.offsetWidth - 4));
  const below = box.bottom + 2;
  const fits = below + menu.offsetHeight <= window.innerHeight - 4;
  const top = fits ? below : Math.max(4, box.top - menu.offsetHeight - 2);
  menu.style.left = `${left}px`;
  menu.style.top = `${top}px`;
  menu.style.maxHeight = `${window.innerHeight - top - 8}px`;
}

/** A button that opens a menu, whose entries are asked for each time. */
export function menuButton(words: string, entries: () => readonly MenuEntry[] | Promise<readonly MenuEntry[]>, label: string = words, arrow = true): HTMLButtonElement {
  const made = element("button", {
    type: "button", label, title: label === words ? undefined : label, class: arrow ? undefined : "icon",
    set: { "aria-haspopup": "menu", "aria-expanded": "false" },
  }, words);
  if (arrow) made.append(element("span", { class: "soft", set: { "aria-hidden": "true" } }, "▾"));
  const open = async (): Promise<void> => openMenu(made, await entries(), label);
  made.addEventListener("click", () => {
    if (made.getAttribute("aria-expanded") === "true") closeOpen?.();
    else void open();
  });
  made.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    void open();
  });
  return made;
}

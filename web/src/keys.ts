/** The keyboard: what each key does is in one table, which the help of the page and the documentation show. */

export interface Key {
  /** what is done */
  id: string;
  /** as KeyboardEvent.key has it, with "Ctrl+", "Alt+", "Shift+" before it where they count */
  keys: readonly string[];
  text: string;
  /** part of the page that must have the focus: "" = any place where nothing is typed */
  where: "" | "image" | "regions" | "plots" | "table";
  /** also while something is typed */
  always?: boolean;
}

/** Sections in the order of the help. */
export const KEYS: Record<"shell" | "image" | "regions" | "plots" | "jobs" | "desk", readonly Key[]> = {
  shell: [
    { id: "help", keys: ["?"], text: "show all keys", where: "" },
    { id: "commands", keys: ["Ctrl+k"], text: "commands: search and do", where: "", always: true },
    { id: "next-panel", keys: ["F6"], text: "go to the next panel", where: "", always: true },
    { id: "previous-panel", keys: ["Shift+F6"], text: "go to the panel before", where: "", always: true },
    { id: "panel-by-number", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], text: "go to the panel of that number", where: "" },
    { id: "next-tab", keys: ["]"], text: "next tab beside this one", where: "" },
    { id: "previous-tab", keys: ["["], text: "tab before this one", where: "" },
    { id: "maximise-panel", keys: ["F9"], text: "make the panel as large as the page, and back", where: "", always: true },
    { id: "float-panel", keys: ["Shift+F9"], text: "let the panel float, and back", where: "", always: true },
    { id: "panel-left", keys: ["Ctrl+Shift+ArrowLeft"], text: "move the panel to the left", where: "", always: true },
    { id: "panel-right", keys: ["Ctrl+Shift+ArrowRight"], text: "move the panel to the right", where: "", always: true },
    { id: "panel-up", keys: ["Ctrl+Shift+ArrowUp"], text: "move the panel up", where: "", always: true },
    { id: "panel-down", keys: ["Ctrl+Shift+ArrowDown"], text: "move the panel down", where: "", always: true },
  ],
  image: [
    { id: "image.toggle", keys: [" "], text: "hold the image, or go on live", where: "" },
    { id: "image.live", keys: ["l"], text: "live: show each new image", where: "" },
    { id: "image.previous", keys: [","], text: "previous image", where: "" },
    { id: "image.next", keys: ["."], text: "next image", where: "" },
    { id: "image.previousHit", keys: ["<"], text: "previous hit", where: "" },
    { id: "image.nextHit", keys: [">"], text: "next hit", where: "" },
    { id: "image.first", keys: ["Home"], text: "first image that is held", where: "image" },
    { id: "image.last", keys: ["End"], text: "last image", where: "image" },
    { id: "image.number", keys: ["g"], text: "go to the number of an image", where: "" },
    { id: "image.zoomIn", keys: ["+", "="], text: "zoom in", where: "image" },
    { id: "image.zoomOut", keys: ["-"], text: "zoom out", where: "image" },
    { id: "image.fit", keys: ["0"], text: "the whole image", where: "image" },
    { id: "image.one", keys: ["1"], text: "one pixel of the screen for a pixel", where: "image" },
    { id: "image.left", keys: ["ArrowLeft"], text: "move the image, or the cross, to the left", where: "image" },
    { id: "image.right", keys: ["ArrowRight"], text: "… to the right", where: "image" },
    { id: "image.up", keys: ["ArrowUp"], text: "… up", where: "image" },
    { id: "image.down", keys: ["ArrowDown"], text: "… down", where: "image" },
    { id: "image.farLeft", keys: ["Shift+ArrowLeft"], text: "… ten times as far to the left", where: "image" },
    { id: "image.farRight", keys: ["Shift+ArrowRight"], text: "… ten times as far to the right", where: "image" },
    { id: "image.farUp", keys: ["Shift+ArrowUp"], text: "… ten times as far up", where: "image" },
    { id: "image.farDown", keys: ["Shift+ArrowDown"], text: "… ten times as far down", where: "image" },
    { id: "image.cross", keys: ["x"], text: "a cross that the arrows move, with what is under it", where: "image" },
    { id: "image.measure", keys: ["m"], text: "measure between two places", where: "image" },
    { id: "image.auto", keys: ["a"], text: "automatic contrast", where: "image" },
    { id: "image.brighter", keys: ["]"], text: "colours end at a higher value", where: "image" },
    { id: "image.darker", keys: ["["], text: "colours end at a lower value", where: "image" },
    { id: "image.invert", keys: ["i"], text: "invert the colours", where: "image" },
    { id: "image.spots", keys: ["o"], text: "spots over the image", where: "image" },
    { id: "image.rings", keys: ["r"], text: "resolution rings", where: "image" },
    { id: "image.layer", keys: ["n"], text: "next layer: counts, background, significance, …", where: "image" },
  ],
  regions: [
    { id: "region-select", keys: ["v"], text: "regions: select and change", where: "" },
    { id: "region-box", keys: ["b"], text: "regions: draw a box", where: "" },
    { id: "region-circle", keys: ["c"], text: "regions: draw a circle", where: "" },
    { id: "region-sector", keys: ["s"], text: "regions: draw a ring or a sector", where: "" },
    { id: "region-polygon", keys: ["p"], text: "regions: draw a polygon", where: "" },
    { id: "region-undo", keys: ["Ctrl+z"], text: "regions: undo; with Shift, redo", where: "" },
    { id: "region-redo", keys: ["Ctrl+y"], text: "regions: redo", where: "" },
    { id: "region-duplicate", keys: ["Ctrl+d"], text: "duplicate the region", where: "image" },
    { id: "region-duplicate", keys: ["Ctrl+d"], text: "duplicate the region", where: "regions" },
    { id: "region-remove", keys: ["Delete"], text: "remove the region", where: "image" },
    { id: "region-remove", keys: ["Delete"], text: "remove the region", where: "regions" },
    { id: "region-escape", keys: ["Escape"], text: "end what is drawn, the tool, the selection", where: "regions" },
  ],
  plots: [
    { id: "plot-left", keys: ["ArrowLeft"], text: "cursor one point or cell to the left", where: "plots" },
    { id: "plot-right", keys: ["ArrowRight"], text: "cursor one point or cell to the right", where: "plots" },
    { id: "plot-up", keys: ["ArrowUp"], text: "in a map: one cell up", where: "plots" },
    { id: "plot-down", keys: ["ArrowDown"], text: "in a map: one cell down", where: "plots" },
    { id: "plot-first", keys: ["Home"], text: "cursor to the first point or image", where: "plots" },
    { id: "plot-last", keys: ["End"], text: "cursor to the last point or image", where: "plots" },
    { id: "plot-choose", keys: ["Enter", " "], text: "show the image under the cursor", where: "plots" },
    { id: "plot-in", keys: ["+", "="], text: "zoom in about the cursor", where: "plots" },
    { id: "plot-out", keys: ["-"], text: "zoom out", where: "plots" },
    { id: "plot-all", keys: ["0", "Escape"], text: "show all", where: "plots" },
    { id: "plot-back", keys: ["Shift+ArrowLeft"], text: "move what is shown to the left", where: "plots" },
    { id: "plot-forth", keys: ["Shift+ArrowRight"], text: "move what is shown to the right", where: "plots" },
    { id: "plot-log", keys: ["l"], text: "logarithmic axis, or not", where: "plots" },
    { id: "table-move", keys: ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"], text: "go to a row", where: "table" },
    { id: "table-choose", keys: ["Enter"], text: "show what the row is about", where: "table" },
  ],
  jobs: [],
  desk: [
    { id: "export", keys: ["e"], text: "export: pictures, counts, tables, the address", where: "" },
    { id: "note", keys: ["n"], text: "write a note", where: "" },
  ],
};

/** The name of a pressed key, as `Key.keys` has it. */
export function nameOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">): string {
  const parts: string[] = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  // of a character the shift is in the character itself
  if (event.shiftKey && event.key.length > 1) parts.push("Shift");
  parts.push(event.key.length === 1 && parts.length > 0 ? event.key.toLowerCase() : event.key);
  return parts.join("+");
}

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type));
}

/** Whether space and Enter press it. */
function pressable(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, a[href], summary, input, [role=tab], [role=button], [role=menuitem], [role=option], [role=slider]") !== null;
}

export class Keys {
  #actions = new Map<string, (event: KeyboardEvent) => void>();

  constructor(target: EventTarget = document) {
    target.addEventListener("keydown", (event) => this.#pressed(event as KeyboardEvent));
  }

  /** What is done at the keys of `id`; what comes back ends that. */
  on(id: string, action: (event: KeyboardEvent) => void): () => void {
    if (!Object.values(KEYS).flat().some((key) => key.id === id)) throw new Error(`no key does ${id}: see KEYS`);
    this.#actions.set(id, action);
    return () => this.#actions.delete(id);
  }

  /** What the key `id` does, without it being pressed; undefined = nothing does it now. */
  action(id: string): (() => void) | undefined {
    const action = this.#actions.get(id);
    return action && (() => action(new KeyboardEvent("keydown")));
  }

  #pressed(event: KeyboardEvent): void {
    if (event.defaultPrevented) return;
    const name = nameOf(event);
    if ((name === " " || name === "Enter") && pressable(event.target)) return;
    const place = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-keys]")?.dataset.keys ?? "" : "";
    const all = Object.values(KEYS).flat().filter((key) => key.keys.includes(name));
    const key = all.find((each) => each.where === place && place !== "") ?? all.find((each) => each.where === "");
    const action = key && this.#actions.get(key.id);
    if (!action || (key.always !== true && typing(event.target))) return;
    event.preventDefault();
    action(event);
  }
}

/** The bars of the image: which image, and how it looks. */
import type { App } from "../app.ts";
import type { Layer } from "../api_types.ts";
import { button, element, tell } from "../dom.ts";
import { KEYS } from "../keys.ts";
import { short } from "../numbers.ts";
import { change, followAll, type Signal } from "../signal.ts";
import type { Look, Overlays } from "../store.ts";
import { text } from "../text.ts";
import type { ImageCanvas } from "./canvas.ts";
import { COLORS } from "./colors.ts";
import { diverges } from "./contrast.ts";
import type { ContrastBar } from "./contrast_bar.ts";
import type { Cursor } from "./cursor.ts";
import type { Flow } from "./flow.ts";
import type { Pictures } from "./pictures.ts";
import { parseSpacings } from "./spacings.ts";

const STACKS = [1, 2, 5, 10, 20, 50, 100];
export const LAYERS: readonly Layer[] = ["counts", "significance", "subtracted", "background", "mask"];

/** The words of a tool tip, with the key that does the same. */
function tip(words: string, id: string): string {
  const key = KEYS.image.find((each) => each.id === id);
  return key === undefined ? words : `${words} (${key.keys.map((each) => (each === " " ? text.image.space : each)).join(", ")})`;
}

function icon(sign: string, words: string, id: string, press: () => void): HTMLButtonElement {
  return button(sign, press, { class: "icon", label: words, title: tip(words, id) });
}

/** One of several values of a field of a signal. */
function choice<T extends object, K extends keyof T & string>(
  signal: Signal<T>, field: K, label: string, options: readonly (readonly [T[K], string])[], stops: (() => void)[],
): HTMLSelectElement {
  const made = element("select", { label, title: label }, ...options.map(([value, words]) => element("option", { set: { value: String(value) } }, words)));
  const show = (): void => {
    made.value = String(signal.value[field]);
  };
  made.addEventListener("change", () => {
    const chosen = options.find(([value]) => String(value) === made.value);
    if (chosen !== undefined) change(signal, { [field]: chosen[0] } as unknown as Partial<T>);
  });
  stops.push(signal.follow(show, true));
  return made;
}

function toggle(words: string, title: string, pressed: () => boolean, press: () => void, follow: (show: () => void) => () => void, stops: (() => void)[]): HTMLButtonElement {
  const made = button(words, press, { title });
  stops.push(follow(() => made.setAttribute("aria-pressed", String(pressed()))));
  made.setAttribute("aria-pressed", String(pressed()));
  return made;
}

/** A button with a sheet below it, which closes at a press beside it and at Escape. */
function sheet(words: string, ...content: Node[]): HTMLElement[] {
  const body = element("div", { class: "image-sheet", role: "group", label: words, set: { popover: "auto" } }, ...content);
  const made = button(`${words} ▾`, () => {}, { set: { "aria-expanded": "false", "aria-haspopup": "dialog" } });
  made.popoverTargetElement = body;
  body.addEventListener("toggle", (event) => {
    const open = (event as ToggleEvent).newState === "open";
    made.setAttribute("aria-expanded", String(open));
    if (!open) return;
    const box = made.getBoundingClientRect();
    body.style.left = `${Math.min(box.left, window.innerWidth - body.offsetWidth - 8)}px`;
    body.style.top = `${box.bottom + 4}px`;
  });
  return [made, body];
}

/** Which image. */
export function navigation(app: App, flow: Flow, stops: (() => void)[]): { bar: HTMLElement; number: HTMLInputElement } {
  const { store } = app;
  const live = button(text.image.live, () => flow.toggle(), { class: "live-button" });
  const number = element("input", { type: "number", class: "number image-number", label: text.image.number, title: tip(text.image.number, "image.number"), set: { min: "0", step: "1" } });
  const count = element("span", { class: "soft image-count" });
  const enter = (): void => {
    const wanted = number.valueAsNumber;
    if (Number.isInteger(wanted) && wanted >= 0) flow.go(wanted);
    else show();
  };
  number.addEventListener("keydown", (event) => {
    if (event.key === "Enter") enter();
    else if (event.key === "Escape") show();
    else return;
    event.preventDefault();
    number.blur();
    document.querySelector<HTMLElement>(".image-area")?.focus();
  });
  number.addEventListener("change", enter);
  const show = (): void => {
    const image = store.image.value;
    if (document.activeElement !== number || store.mode.value === "live") number.value = image === null ? "" : String(image.number);
    const total = totalOf(app);
    tell(count, total === null ? "" : text.image.of(total));
  };
  const mode = (): void => {
    const now = store.mode.value === "live";
    live.setAttribute("aria-pressed", String(now));
    live.title = tip(now ? text.image.goHold : text.image.goLive, "image.toggle");
    live.hidden = store.session.value.source !== "stream";
  };
  stops.push(followAll([store.image, store.status, store.held] as never, show, true), followAll([store.mode, store.session] as never, mode, true));
  const words = text.image;
  const bar = element(
    "div", { class: "bar", role: "group", label: words.navigation }, live,
    element(
      "span", { class: "group" },
      icon("|◀", words.first, "image.first", () => void flow.step(-Infinity)), icon("◀", words.previous, "image.previous", () => void flow.step(-1)),
      icon("▶", words.next, "image.next", () => void flow.step(1)), icon("▶|", words.last, "image.last", () => void flow.step(Infinity)),
    ),
    number, count,
    element(
      "span", { class: "group" },
      button(`◀ ${words.hit}`, () => void flow.hit("previous"), { label: words.previousHit, title: tip(words.previousHit, "image.previousHit") }),
      button(`${words.hit} ▶`, () => void flow.hit("next"), { label: words.nextHit, title: tip(words.nextHit, "image.nextHit") }),
    ),
  );
  return { bar, number };
}

/** Images that the series of the shown one has, or will have; null = not known. */
export function totalOf(app: App): number | null {
  const { store } = app;
  const key = store.image.value?.series ?? store.series.value;
  const file = store.opened.value.find((each) => each.series === key);
  if (file !== undefined) return file.images;
  const info = [store.status.value?.series, ...store.streamed.value].find((each) => each?.series === key);
  if (info === undefined || info === null) return null;
  return info.books.ended ? info.books.received : info.expected ?? info.books.received;
}

/** How it looks. */
export function looks(app: App, canvas: ImageCanvas, pictures: Pictures, contrast: ContrastBar, cursor: Cursor, stops: (() => void)[]): HTMLElement {
  const { store } = app, words = text.image;
  const names = <T extends string>(table: Record<T, string>, order?: readonly T[]): [T, string][] => (order ?? (Object.keys(table) as T[])).map((name) => [name, table[name]]);
  const pick = <K extends keyof Look & string>(field: K, label: string, options: readonly (readonly [Look[K], string])[]): HTMLSelectElement => choice(store.look, field, label, options, stops);
  const onLook = (show: () => void): (() => void) => store.look.follow(show);
  const ends = (["low", "high"] as const).map((end) => {
    const made = element("input", { type: "number", class: "number contrast-number", label: words[end], title: words[end], set: { step: "any" } });
    const show = (): void => {
      const now = pictures.shown.value?.contrast;
      if (document.activeElement !== made && now !== undefined) made.value = short(now[end], 4);
    };
    made.addEventListener("change", () => {
      const now = pictures.shown.value?.contrast ?? store.look.value;
      if (Number.isFinite(made.valueAsNumber)) contrast.set({ low: now.low, high: now.high, [end]: made.valueAsNumber });
    });
    stops.push(pictures.shown.follow(show, true), onLook(() => queueMicrotask(show)));
    return made;
  });
  const automatic = toggle(words.automatic, tip(words.contrast, "image.auto"), () => store.look.value.automatic, () => change(store.look, { automatic: !store.look.value.automatic, ...pictures.shown.value?.contrast }), onLook, stops);
  const invert = toggle(words.invert, tip(words.invert, "image.invert"), () => store.look.value.invert, () => change(store.look, { invert: !store.look.value.invert }), onLook, stops);
  const measure = button(words.measure, () => cursor.measure(), { title: tip(words.measure, "image.measure") });
  stops.push(cursor.measured.follow(() => measure.setAttribute("aria-pressed", String(cursor.measuring))));
  const frame = pick("frame", words.frame, names(words.frames));
  const colors = pick("color", words.color, names(words.colors, COLORS));
  const scale = pick("scale", words.scale, names(words.scales));
  const of = pick("of", words.putTogether, names(words.of_));
  const show = (): void => {
    frame.hidden = (store.about.value?.panels ?? null) === null && store.look.value.frame === "detector";
    colors.hidden = scale.hidden = diverges(store.look.value.layer) || store.look.value.layer === "mask";
    of.hidden = store.look.value.last === 1;
  };
  stops.push(followAll([store.about, store.look] as never, show, true));
  const stack = pick("last", words.putTogether, STACKS.map((count) => [count, count === 1 ? words.single : words.lastOf(count)]));
  return element(
    "div", { class: "bar looks", role: "group", label: words.look },
    pick("layer", words.layer, names(words.layers, LAYERS)), colors, scale, invert,
    element("span", { class: "bar contrast" }, ends[0]!, contrast.element, ends[1]!, automatic),
    stack, of, frame, ...overlays(app, stops), measure, element("span", { class: "spacer" }),
    element(
      "span", { class: "group" },
      icon("−", words.zoomOut, "image.zoomOut", () => canvas.zoomBy(1 / 1.5)), icon("+", words.zoomIn, "image.zoomIn", () => canvas.zoomBy(1.5)),
      button("1:1", () => canvas.zoomTo(1 / canvas.view.value.ratio), { label: words.one, title: tip(words.one, "image.one") }),
      button(words.fitShort, () => canvas.fit(), { label: words.fit, title: tip(words.fit, "image.fit") }),
    ),
  );
}

function overlays(app: App, stops: (() => void)[]): HTMLElement[] {
  const { store } = app, words = text.image;
  const boxes = (Object.keys(words.overlay) as (keyof Overlays)[]).map((name) => {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => change(store.overlays, { [name]: box.checked }));
    stops.push(store.overlays.follow((now) => (box.checked = now[name]), true));
    return element("label", {}, box, words.overlay[name]);
  });
  const spacings = element("input", { type: "text", label: words.spacings, set: { placeholder: words.spacingsHelp, size: "26" } });
  const trouble = element("p", { class: "trouble", role: "alert" });
  spacings.addEventListener("change", () => {
    const made = parseSpacings(spacings.value);
    spacings.setAttribute("aria-invalid", String(made === null));
    trouble.textContent = made === null ? words.spacingsWrong : "";
    if (made === null) return;
    store.rings.value = made;
    if (made.length > 0) change(store.overlays, { rings: true });
  });
  stops.push(store.rings.follow((now) => {
    if (document.activeElement !== spacings) spacings.value = now.join(", ");
  }, true));
  const bin = choice(store.look, "bin", words.bin, (["max", "mean", "sum"] as const).map((name) => [name, words.bins[name]] as const), stops);
  return sheet(words.overlays, ...boxes, element("label", { class: "column" }, words.spacings, spacings), trouble, element("label", { class: "column" }, words.bin, bin));
}

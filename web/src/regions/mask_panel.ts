/** The panel of the user's mask: what is masked, and regions that are masked as well. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";
import type { Applied } from "../api_types.ts";
import { button, download, element } from "../dom.ts";
import type { Panel } from "../panels.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import type { Book } from "./book.ts";
import type { Editor } from "./editor.ts";
import type { Region } from "./region.ts";

const LAYERS = ["user", "detector", "total"] as const;
type Layer = (typeof LAYERS)[number];

interface Summary {
  layer: Layer;
  shape: [number, number];
  masked: number;
  bits: Record<string, number>;
}

const NPY = "application/x-npy";
const TIFF = "image/tiff";

/** The type that a file is sent as, by its name; null = it is none of these. */
export function maskType(name: string): string | null {
  if (/\.npy$/i.test(name)) return NPY;
  return /\.tiff?$/i.test(name) ? TIFF : null;
}

/** A region as a shape of a mask, which has no name. */
export function shapeOfMask(region: Region): Omit<Region, "name"> {
  const { name: _name, ...shape } = region;
  return shape;
}

export function maskPanel(container: HTMLElement, app: App, book: Book, editor: Editor): Panel {
  const words = text.regions;
  let asked = -1;
  let summaries: Partial<Record<Layer, Summary>> = {};
  const facts = element("tbody");
  const status = element("p", { class: "help", role: "status" });
  const trouble = element("p", { class: "trouble", role: "alert" });

  const refresh = async (): Promise<void> => {
    try {
      const told = await Promise.all(LAYERS.map((layer) => app.api.json<Summary>("mask", { query: { layer } })));
      summaries = Object.fromEntries(told.map((each) => [each.layer, each]));
      trouble.textContent = "";
    } catch (error) {
      summaries = {};
      if (!(error instanceof ApiError)) throw error;
      trouble.textContent = error.message;
    }
    show();
  };
  /** Change the mask, and say from which image on. */
  const change = async (method: "PUT" | "DELETE", body: unknown, what: string): Promise<void> => {
    trouble.textContent = "";
    try {
      const applied = await app.api.json<Applied>("mask", { method, body });
      status.textContent = words.maskApplied(what, applied.first_image);
      asked = applied.revision;
      await refresh();
    } catch (error) {
      if (error instanceof ApiError) trouble.textContent = error.message;
      app.fail(error);
    }
  };
  const shapes = (how: "add" | "remove", what: (name: string) => string): void => {
    const region = editor.selected;
    if (region !== null) void change("PUT", { shapes: [shapeOfMask(region)], how }, what(region.name));
  };
  const add = button(words.maskRegion, () => shapes("add", words.maskAdded), { class: "primary" });
  const takeOut = button(words.unmaskRegion, () => shapes("remove", words.maskRemoved));
  const clear = button(words.maskClear, () => void change("DELETE", undefined, words.maskCleared), { class: "danger" });
  const layer = element("select", { id: "mask-layer" }, ...LAYERS.map((each) => element("option", { set: { value: each } }, words.layers[each])));
  const save = async (type: string, suffix: string): Promise<void> => {
    const { bytes } = await app.api.bytes("mask", { query: { layer: layer.value }, accept: type });
    download(`mask-${layer.value}.${suffix}`, new Blob([bytes], { type }));
  };
  const saves = [[NPY, "npy", "NumPy"], [TIFF, "tif", "TIFF"]].map(([type, suffix, name]) =>
    button(name as string, () => void save(type as string, suffix as string).catch(app.fail)));
  const file = element("input", { type: "file", label: words.maskUploadLabel, set: { accept: ".npy,.tif,.tiff", hidden: "" } });
  const upload = button(words.maskUpload, () => file.click(), { title: words.maskUploadMeaning });
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    const type = maskType(chosen?.name ?? "");
    if (chosen !== undefined && type === null) trouble.textContent = words.maskWrongFile(chosen.name);
    else if (chosen !== undefined) void change("PUT", new Blob([chosen], { type: type as string }), words.maskUploaded(chosen.name));
    file.value = "";
  });
  const selected = element("span", { class: "soft" });
  container.append(
    element("div", { class: "toolbar" }, add, takeOut, selected, element("span", { class: "spacer" }), upload, file, clear),
    element(
      "div", { class: "body", set: { "data-keys": "regions" } },
      element("div", { class: "pad" }, status, trouble),
      element(
        "table", { class: "table", label: words.mask },
        element("thead", {}, element("tr", {}, ...[words.layer, words.masked, words.share, words.bits].map((each, n) =>
          element("th", { class: n === 1 || n === 2 ? "number" : "" }, each)))),
        facts,
      ),
      element("div", { class: "bar pad" }, element("label", { set: { for: "mask-layer" } }, words.maskDownload), layer, element("div", { class: "group" }, ...saves)),
      element("p", { class: "help pad" }, words.maskHelp),
    ),
  );

  const show = (): void => {
    facts.replaceChildren(...LAYERS.map((each) => {
      const told = summaries[each];
      const count = told === undefined ? null : told.shape[0] * told.shape[1];
      const bits = Object.entries(told?.bits ?? {}).map(([bit, number]) => `${words.maskBits[bit] ?? words.maskBit(bit)} ${number}`);
      return element(
        "tr", {}, element("th", { set: { scope: "row" } }, words.layers[each]),
        element("td", { class: "number" }, told === undefined ? "–" : String(told.masked)),
        element("td", { class: "number" }, told === undefined || !count ? "–" : `${((100 * told.masked) / count).toPrecision(3)} %`),
        element("td", {}, bits.join(", ")),
      );
    }));
    const region = editor.selected;
    const reason = editor.editable ? (region === null ? words.selectFirst : "") : words.viewer;
    for (const each of [add, takeOut]) {
      each.disabled = reason !== "";
      each.title = reason || words.maskRegionMeaning;
    }
    selected.textContent = reason || (region?.name ?? "");
    upload.disabled = clear.disabled = !editor.editable;
    clear.disabled ||= (summaries.user?.masked ?? 0) === 0;
    for (const each of saves) each.disabled = summaries.total === undefined;
  };
  const series = (): string => `${app.store.status.value?.mask?.revision ?? 0} ${app.store.status.value?.series?.series ?? ""}`;
  let followed = "";
  const stops = [
    followAll([app.store.region, book.regions, app.store.session] as never, show, true),
    app.store.status.follow(() => {
      const now = series();
      if (now === followed && asked === (app.store.status.value?.mask?.revision ?? asked)) return;
      followed = now;
      asked = app.store.status.value?.mask?.revision ?? asked;
      void refresh();
    }, true),
  ];
  return {
    dispose() {
      for (const stop of stops) stop();
    },
  };
}

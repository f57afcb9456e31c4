/** Why a spot is one: the pixels round it, what was expected there, and what its flags mean. */
import { ApiError } from "../api.ts";
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import { short, withUnit } from "../numbers.ts";
import type { Panel } from "../panels.ts";
import { followAll } from "../signal.ts";
import { text } from "../text.ts";
import { colorsOf, css, UNUSABLE } from "./colors.ts";
import { brightness } from "./values.ts";

type Grid = (number | null)[][];

/** As the service explains a spot. */
interface Explanation {
  slow0: number;
  fast0: number;
  counts: Grid;
  background: Grid | null;
  significance: Grid | null;
  mask: number[][] | null;
  threshold: number | null;
  snr_pick: number | null;
  flags: (string | { name: string; meaning: string })[];
  text: string;
}

const PATCHES = ["counts", "background", "significance"] as const;
type Patch = (typeof PATCHES)[number];

export function spotPanel(container: HTMLElement, app: App): Panel {
  const { store, api } = app, words = text.image;
  let patch: Patch = "counts";
  let explained: Explanation | null = null;
  let asking: AbortController | null = null;
  const head = element("strong", { class: "number" });
  const choose = element("select", { label: words.patch, title: words.patch }, ...PATCHES.map((name) => element("option", { set: { value: name } }, words.patches[name])));
  choose.addEventListener("change", () => {
    patch = choose.value as Patch;
    draw();
  });
  const turn = (by: number): void => {
    const count = store.spots.value?.slow?.length ?? 0;
    if (count > 0) store.spot.value = ((store.spot.value ?? 0) + by + count) % count;
  };
  const tools = element(
    "div", { class: "toolbar" }, head, element("span", { class: "spacer" }), choose,
    element("span", { class: "group" }, button("◀", () => turn(-1), { class: "icon", label: words.previousSpot, title: words.previousSpot }), button("▶", () => turn(1), { class: "icon", label: words.nextSpot, title: words.nextSpot })),
  );
  const facts = element("dl", { class: "facts pad" });
  const table = element("table", { class: "spot-patch", label: words.patch });
  const says = element("p", { class: "pad spot-text" });
  const body = element("div", { class: "body" }, says, table, facts);
  const none = element("p", { class: "empty" }, words.noSpot);
  container.append(tools, body, none);

  const draw = (): void => {
    const index = store.spot.value, spots = store.spots.value;
    const there = index !== null && spots?.slow?.[index] !== undefined;
    tools.hidden = body.hidden = !there;
    none.hidden = there;
    if (!there || spots === null || index === null) return;
    head.textContent = words.spotNumber(index, spots.slow?.length ?? 0);
    const of = (name: string): number | null => spots[name]?.[index] ?? null;
    const list: [string, string][] = [
      [words.facts.place, `${short(of("slow"), 6)}, ${short(of("fast"), 6)} px`],
      [words.facts.intensity, `${short(of("intensity"), 5)} ± ${short(of("sigma"), 3)}`],
      [words.facts.significance, withUnit(of("significance"), "σ")],
      [words.facts.maximum, short(of("maximum"))],
      [words.facts.npix, short(of("npix"))],
      [words.facts.d, withUnit(of("d"), "Å")],
    ];
    if (explained !== null) {
      if (explained.threshold !== null && explained.threshold !== undefined) list.push([words.threshold, short(explained.threshold)]);
      const flags = explained.flags.map((flag) => (typeof flag === "string" ? flag : `${flag.name}: ${flag.meaning}`));
      list.push([words.flags, flags.length > 0 ? flags.join("; ") : words.noFlags]);
    }
    facts.replaceChildren(...list.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
    says.textContent = explained?.text ?? "";
    table.replaceChildren(...(explained === null ? [] : rows(explained, patch)));
  };

  const ask = async (): Promise<void> => {
    asking?.abort();
    explained = null;
    const index = store.spot.value, image = store.image.value;
    if (index === null || image === null || store.spots.value?.slow?.[index] === undefined || store.mode.value === "live") {
      draw();
      return;
    }
    draw();
    const mine = new AbortController();
    asking = mine;
    try {
      const made = await api.json<Explanation>(`images/${image.number}/spots/${index}`, { query: { series: image.series }, signal: mine.signal });
      if (mine.signal.aborted) return;
      explained = made;
      draw();
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof ApiError) says.textContent = error.reason === "not_found" ? words.spotGone : error.message;
      else app.fail(error);
    }
  };
  const stop = followAll([store.spot, store.spots, store.mode] as never, () => void ask(), true);
  return {
    dispose() {
      stop();
      asking?.abort();
    },
  };
}

/** The patch as a table with the numbers of its pixels in the colours of the image. */
function rows(explained: Explanation, patch: Patch): HTMLElement[] {
  const grid = explained[patch] ?? explained.counts;
  const numbers = grid.flat().filter((each): each is number => each !== null);
  const least = patch === "significance" ? 0 : Math.min(...numbers, 0), most = Math.max(...numbers, least + 1);
  const colors = colorsOf("indigo");
  const width = grid[0]?.length ?? 0;
  const top = element("tr", {}, element("th"), ...Array.from({ length: width }, (_, at) => element("th", { set: { scope: "col" } }, String(explained.fast0 + at))));
  const made = grid.map((row, at) => {
    const cells = row.map((value, column) => {
      const cell = element("td", {}, value === null ? "" : short(value, patch === "counts" ? 6 : 3));
      const masked = value === null || (explained.mask?.[at]?.[column] ?? 0) !== 0;
      const color = masked ? UNUSABLE : colors[Math.round(255 * Math.sqrt(Math.min(Math.max((value - least) / (most - least), 0), 1)))]!;
      cell.style.background = css(color);
      cell.style.color = brightness(color) > 140 ? "#10141a" : "#f6f8fb";
      const z = explained.significance?.[at]?.[column] ?? null;
      if (!masked && z !== null && explained.snr_pick !== null && z >= explained.snr_pick) cell.classList.add("picked");
      return cell;
    });
    return element("tr", {}, element("th", { set: { scope: "row" } }, String(explained.slow0 + at)), ...cells);
  });
  return [element("thead", {}, top), element("tbody", {}, ...made)];
}

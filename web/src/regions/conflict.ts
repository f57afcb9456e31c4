/** Tells the loser of a conflict what the other one changed, and asks what shall be. */
import { button, element } from "../dom.ts";
import { text } from "../text.ts";
import type { Book, Conflict } from "./book.ts";

/** A card over the page for as long as a conflict is not settled. */
export function showConflicts(book: Book): () => void {
  let card: HTMLElement | null = null;
  return book.conflict.follow((conflict) => {
    card?.remove();
    card = conflict === null ? null : cardOf(conflict, book);
    if (card === null) return;
    document.body.append(card);
    card.focus();
  }, true);
}

function cardOf({ changes, rows }: Conflict, book: Book): HTMLElement {
  const words = text.regions;
  const cells = (tag: "th" | "td", texts: readonly string[]): HTMLElement[] => texts.map((each) => element(tag, {}, each));
  const table = element(
    "table", { class: "table" },
    element("thead", {}, element("tr", {}, ...cells("th", [words.region, words.field, words.was, words.mine, words.theirs]))),
    element("tbody", {}, ...rows.map((row) =>
      element("tr", {}, ...cells("td", [row.name, row.field || words.type, row.before, row.mine, row.theirs])))),
  );
  return element(
    "section", { class: "region-conflict", role: "alertdialog", label: words.conflictTitle, set: { tabindex: "-1" } },
    element("h2", {}, words.conflictTitle),
    element("p", {}, words.conflictWords(changes.map(({ name }) => name))),
    ...(rows.length > 0 ? [table] : []),
    element(
      "div", { class: "actions" },
      button(words.takeTheirs, () => book.settle("theirs")), button(words.putMine, () => book.settle("mine"), { class: "primary" }),
    ),
  );
}

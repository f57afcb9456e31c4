/** What the page tells: the newest in the bar at the bottom, where it covers nothing; all that stands, when asked for. */
import type { Action, Loudness } from "./app.ts";
import { button, element } from "./dom.ts";
import { text } from "./text.ts";

export interface Message {
  number: number;
  words: string;
  loudness: Loudness;
  /** how often it was told */
  times: number;
  action: Action | null;
}

/** ms that a message stands; an error stands until it is closed */
const STANDS: Record<Loudness, number | null> = { note: 5000, warning: 15_000, error: null };
const RANK: Record<Loudness, number> = { note: 0, warning: 1, error: 2 };
const MOST = 50;
const LONGEST = 1000;

/** Messages that stand, the oldest first. The same words stand once. */
export class MessageList {
  #messages: Message[] = [];
  #number = 0;

  get all(): readonly Message[] {
    return this.#messages;
  }

  /** The loudest; of those the newest. */
  get first(): Message | null {
    let best: Message | null = null;
    for (const each of this.#messages) if (best === null || RANK[each.loudness] >= RANK[best.loudness]) best = each;
    return best;
  }

  add(words: string, loudness: Loudness, action: Action | null = null): Message {
    const short = words.length > LONGEST ? `${words.slice(0, LONGEST)}…` : words;
    const before = this.#messages.find((each) => each.words === short && each.loudness === loudness);
    if (before !== undefined) this.remove(before.number);
    this.#number += 1;
    const message = { number: this.#number, words: short, loudness, times: (before?.times ?? 0) + 1, action };
    this.#messages.push(message);
    if (this.#messages.length > MOST) this.#messages.shift();
    return message;
  }

  remove(number: number): void {
    this.#messages = this.#messages.filter((each) => each.number !== number);
  }

  clear(): void {
    this.#messages = [];
  }
}

/** The messages as elements: `element` stands in the bar at the bottom. */
export class Messages {
  readonly element = element("div", { class: "messages" });
  #list = new MessageList();
  #line = element("div", { class: "message", role: "status", set: { "aria-live": "polite" } });
  #alert = element("div", { class: "hidden-words", role: "alert" });
  #more = button("", () => this.#open(this.#sheet.hidden !== false), { class: "quiet" });
  #close = button("×", () => this.#remove(this.#list.first?.number ?? -1), { class: "quiet icon", label: text.shell.closeMessage });
  #act = button("", () => this.#list.first?.action?.press());
  #sheet = element("div", { class: "sheet", role: "region", label: text.shell.messages });
  #timers = new Map<number, ReturnType<typeof setTimeout>>();

  constructor() {
    this.#sheet.hidden = true;
    this.#more.setAttribute("aria-expanded", "false");
    this.element.append(this.#line, this.#act, this.#close, this.#more, this.#alert, this.#sheet);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#sheet.hidden) return;
      this.#open(false);
      this.#more.focus();
    });
    this.#show();
  }

  tell(words: string, loudness: Loudness = "note", action: Action | null = null): void {
    const message = this.#list.add(words, loudness, action);
    const stands = STANDS[loudness];
    if (stands !== null && action === null) {
      this.#timers.set(message.number, setTimeout(() => this.#remove(message.number), stands));
    }
    if (loudness === "error") this.#alert.textContent = message.words;
    this.#show();
  }

  /** Take back what was told. */
  untell(words: string): void {
    for (const each of this.#list.all) if (each.words === words) this.#remove(each.number);
  }

  #remove(number: number): void {
    clearTimeout(this.#timers.get(number));
    this.#timers.delete(number);
    this.#list.remove(number);
    this.#show();
  }

  #open(open: boolean): void {
    this.#sheet.hidden = !open;
    this.#more.setAttribute("aria-expanded", String(open));
    this.#showAll();
  }

  #show(): void {
    const first = this.#list.first;
    const count = this.#list.all.length;
    const line = first === null ? "" : first.words + (first.times > 1 ? ` (${first.times}×)` : "");
    if (this.#line.textContent !== line) this.#line.textContent = line;
    this.#line.title = line;
    this.element.dataset.loudness = first?.loudness ?? "none";
    this.#close.hidden = first === null;
    this.#act.hidden = first?.action == null;
    this.#act.textContent = first?.action?.text ?? "";
    this.#more.hidden = count < 2;
    this.#more.textContent = text.shell.allMessages(count);
    if (count < 2) this.#open(false);
    this.#showAll();
  }

  /** The sheet of all messages, while it is open. */
  #showAll(): void {
    if (this.#sheet.hidden !== false) {
      this.#sheet.replaceChildren();
      return;
    }
    const clear = button(text.shell.clearMessages, () => {
      for (const each of this.#list.all) this.#remove(each.number);
    });
    this.#sheet.replaceChildren(
      ...[...this.#list.all].reverse().map((each) =>
        element(
          "p", { class: `message ${each.loudness}` },
          element("span", {}, each.words + (each.times > 1 ? ` (${each.times}×)` : "")),
          button("×", () => this.#remove(each.number), { class: "quiet icon", label: text.shell.closeMessage }),
        )),
      element("div", { class: "actions" }, clear),
    );
  }
}

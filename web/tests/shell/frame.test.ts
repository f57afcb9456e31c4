import assert from "node:assert/strict";
import { test } from "node:test";
import type { SeriesInfo, Session, Status } from "../../src/api_types.ts";
import { matching } from "../../src/commands.ts";
import { keyCap, keyCaps } from "../../src/help.ts";
import { indexAfter } from "../../src/menu.ts";
import { MessageList } from "../../src/messages.ts";
import { pauseAfter } from "../../src/service.ts";
import { tokenOf } from "../../src/session.ts";
import { choices, lostOf, rateWords, stateWords } from "../../src/state_words.ts";
import { shownBy } from "../../src/theme.ts";

test("the same words stand once, the loudest first, of those the newest", () => {
  const list = new MessageList();
  assert.equal(list.all.length, 0);
  list.add("a", "note");
  const error = list.add("b", "error");
  list.add("c", "warning");
  list.add("a", "note");
  assert.equal(list.first?.words, "b");
  assert.deepEqual(list.all.map((each) => [each.words, each.times]), [["b", 1], ["c", 1], ["a", 2]]);
  list.remove(error.number);
  assert.equal(list.first?.words, "c");
  list.add("d", "warning");
  assert.equal(list.first?.words, "d");
});

test("messages do not grow without end", () => {
  const list = new MessageList();
  for (let number = 0; number < 500; number += 1) list.add(`message ${number}`, "error");
  assert.equal(list.all.length, 50);
  assert.equal(list.first?.words, "message 499");
  assert.ok(list.add("x".repeat(100_000), "note").words.length < 1100);
});

test("a token leaves the address, and nothing else does", () => {
  assert.deepEqual(tokenOf("#token=abc"), { token: "abc", rest: "" });
  assert.deepEqual(tokenOf("#token=a-b_c&series/7/image/3?layer=mask"), { token: "a-b_c", rest: "#series/7/image/3?layer=mask" });
  assert.deepEqual(tokenOf("#series/7?roi=a&token=abc"), { token: "abc", rest: "#series/7?roi=a" });
  assert.deepEqual(tokenOf("#series/7?roi=a&token=abc&bin=sum"), { token: "abc", rest: "#series/7?roi=a&bin=sum" });
  assert.deepEqual(tokenOf("#series/token=1"), { token: null, rest: "#series/token=1" });
  assert.deepEqual(tokenOf(""), { token: null, rest: "" });
});

test("commands are found by all their words", () => {
  const run = (): void => {};
  const all = [{ section: "Panel", text: "Open Log", run }, { section: "Layout", text: "Serial", run }, { section: "Panel", text: "Serial plot", run }];
  assert.deepEqual(matching(all, "").map((each) => each.text), ["Open Log", "Serial", "Serial plot"]);
  assert.deepEqual(matching(all, "SER").map((each) => each.text), ["Serial", "Serial plot"]);
  assert.deepEqual(matching(all, "log panel").map((each) => each.text), ["Open Log"]);
  assert.deepEqual(matching(all, "panel").map((each) => each.text), ["Open Log", "Serial plot"]);
  assert.deepEqual(matching(all, "nothing"), []);
});

test("keys of a menu", () => {
  const texts = ["Serial", "Grid scan", "Save", "Reset"];
  assert.equal(indexAfter("ArrowDown", 3, texts), 0);
  assert.equal(indexAfter("ArrowUp", 0, texts), 3);
  assert.equal(indexAfter("End", 0, texts), 3);
  assert.equal(indexAfter("s", 0, texts), 2);
  assert.equal(indexAfter("s", 2, texts), 0);
  assert.equal(indexAfter("x", 0, texts), null);
  assert.equal(indexAfter("ArrowDown", -1, []), null);
});

test("keys as they are on keyboards", () => {
  assert.equal(keyCap("Ctrl+k"), "Ctrl+K");
  assert.equal(keyCap("k"), "k");
  assert.equal(keyCap("Ctrl+Shift+ArrowLeft"), "Ctrl+Shift+←");
  assert.equal(keyCap("+"), "+");
  assert.equal(keyCap("Ctrl++"), "Ctrl++");
  assert.deepEqual(keyCaps(["1", "2", "3", "4", "5"]), ["1", "…", "5"]);
});

test("pauses grow, up to ten seconds", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 50].map(pauseAfter), [1000, 2000, 4000, 8000, 10_000, 10_000]);
});

test("light and dark", () => {
  assert.equal(shownBy("system", true), "dark");
  assert.equal(shownBy("system", false), "light");
  assert.equal(shownBy("light", true), "light");
  assert.equal(shownBy("dark", false), "dark");
});

const session: Session = { role: "view", source: "stream", version: "1" };
const status = (fields: Partial<Status>): Status => ({ state: "idle", stalled: false, reason: "", ...fields }) as Status;

test("the state in words", () => {
  assert.equal(stateWords(null, session, false).tone, "plain");
  assert.equal(stateWords(null, session, true).tone, "bad");
  assert.equal(stateWords(status({ state: "measuring" }), session, true).tone, "good");
  assert.equal(stateWords(status({ state: "measuring", stalled: true }), session, true).tone, "warn");
  assert.deepEqual(stateWords(status({ state: "error", stalled: true, reason: "disk" }), session, true), { words: "error", tone: "bad", title: "disk" });
  assert.equal(stateWords(status({}), { ...session, source: "files" }, true).words, "files");
});

test("rates and losses", () => {
  assert.deepEqual([null, NaN, 0, 1.26, 9.96, 250.4].map(rateWords), ["–", "–", "0.0", "1.3", "10", "250"]);
  const books = { missing: null, skipped: 2, failed: 1 };
  assert.equal(lostOf({ books } as SeriesInfo), 3);
  assert.equal(lostOf(null), 0);
});

test("what was chosen can be seen, though it is not listed any more", () => {
  const info = { series: "7", name: "lyso", expected: 10, books: { received: 3 } } as SeriesInfo;
  const made = choices([info], [], "9");
  assert.equal(made.other?.key, "9");
  assert.equal(choices([info], [], "7").other, null);
  assert.match(made.stream[0]?.words ?? "", /lyso.*10/);
});

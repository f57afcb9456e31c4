import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceEvent } from "../../src/api_types.ts";
import { MOST_EVENTS, withEvent } from "../../src/desk/events.ts";
import { filtered, imageOf, LOG_KINDS, timeOf, toneOf, wordsOf, type LogKind } from "../../src/desk/log_words.ts";

const event = (number: number, name = "note", data: Record<string, unknown> = { text: "a" }, time = 1000 + number): ServiceEvent => ({ number, name, time, data });

test("events are in the order of their times, once each, and so many", () => {
  let events: readonly ServiceEvent[] = [];
  for (const number of [1, 3, 2, 3, 1]) events = withEvent(events, event(number));
  assert.deepEqual(events.map((each) => each.number), [1, 2, 3]);
  // the service began anew: its numbers as well
  events = withEvent(events, event(1, "state", {}, 9000));
  assert.deepEqual(events.map((each) => each.number), [1, 2, 3, 1]);
  for (let number = 2; number < MOST_EVENTS + 50; number += 1) events = withEvent(events, event(number, "state", {}, 9000 + number));
  assert.equal(events.length, MOST_EVENTS);
  assert.equal(events.at(-1)?.number, MOST_EVENTS + 49);
});

test("a search finds words, kinds, series and images", () => {
  const events = [
    event(1, "note", { text: "Shutter <b>closed</b>", image: 7, series: "5-a" }),
    event(2, "alarm", { name: "few", state: "tripped", text: "few: n_spots: 3, below 10", image: 9 }),
    event(3, "settings", { changes: { snr: 4.5 }, first_image: 12, version: 2 }),
    event(4, "file", { path: "/data/run/x_master.h5" }),
  ];
  const numbers = (search: string, kinds: readonly LogKind[] = LOG_KINDS): number[] => filtered(events, { search, kinds: new Set(kinds) }).map((each) => each.number);
  assert.deepEqual(numbers(""), [1, 2, 3, 4]);
  assert.deepEqual(numbers("SHUTTER 7"), [1]);
  assert.deepEqual(numbers("few tripped"), [2]);
  assert.deepEqual(numbers("snr 4.5"), [3]);
  assert.deepEqual(numbers("x_master"), [4]);
  assert.deepEqual(numbers("", ["note", "file"]), [1, 4]);
  assert.deepEqual(events.map(imageOf), [7, 9, 12, null]);
});

test("an event in words, whatever is in it", () => {
  assert.equal(wordsOf(event(1, "series_end", { series: "5-a", reason: "end", books: { received: 3, analysed: 2, skipped: 1, failed: 0, missing: 0 } })), "Series 5-a ended (end): 3 received, 2 analysed, 1 skipped, 0 failed, 0 missing");
  assert.equal(wordsOf(event(1, "state", { state: "measuring", stalled: true, reason: "" })), "State measuring, stalled");
  assert.equal(wordsOf(event(1, "alarm", { text: "the disk is full" })), "the disk is full");
  assert.equal(wordsOf(event(1, "other", { a: [1], b: null })), "other: a = [1], b = ");
  assert.equal(wordsOf(event(1, "note", {})), "");
  assert.deepEqual(["tripped", "cleared", "no values", undefined].map((state) => toneOf(event(1, "alarm", { state }))), ["bad", "good", "warn", "bad"]);
});

test("the time of today alone, with the day where it is another one", () => {
  const now = new Date(2026, 4, 3, 12, 0, 0);
  assert.equal(timeOf(new Date(2026, 4, 3, 9, 5, 7).getTime() * 1e6, now), "09:05:07");
  assert.equal(timeOf(new Date(2025, 11, 31, 23, 59, 59).getTime() * 1e6, now), "2025-12-31 23:59:59");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Books, Status } from "../../src/api_types.ts";
import { booksClose, bytes, progressOf, sinkWords, startBody, urgent } from "../../src/desk/status_words.ts";

const BOOKS = { expected: 10, received: 8, analysed: 5, skipped: 1, failed: 1, in_flight: 1, missing: null, late: 0, duplicate: 0, dropped: null, ended: false, last: 7 } as Books;

test("books add up, or it is told", () => {
  assert.equal(booksClose(BOOKS), true);
  assert.equal(booksClose({ ...BOOKS, in_flight: 2 }), false);
  assert.equal(progressOf(BOOKS), 0.8);
  assert.equal(progressOf({ ...BOOKS, expected: null }), null);
  assert.equal(progressOf({ ...BOOKS, expected: 5 }), 1);
});

test("bytes in short", () => {
  assert.deepEqual([0, 999, 1000, 123456, 4e9].map(bytes), ["0 B", "999 B", "1.00 kB", "123 kB", "4.00 GB"]);
});

test("what an output does, and what troubles it", () => {
  assert.deepEqual(sinkWords("json_lines", { error: "", images: 3, queued_bytes: 2e6, address: null }), { name: "json lines", trouble: "", facts: "images 3, queued bytes 2.00 MB" });
  assert.equal(sinkWords("a", { error: "the disk is full" }).trouble, "the disk is full");
  assert.equal(sinkWords("a", { error: "", lost: 4 }).trouble, "4 left out");
});

test("what must be heard at once", () => {
  const words = { error: (reason: string) => `error ${reason}`, stalled: "stalled", lost: "lost" };
  const status = { state: "measuring", stalled: false, reason: "r" } as Status;
  assert.deepEqual([null, status, { ...status, stalled: true }, { ...status, state: "error" as const }].map((each) => urgent(each, words)), ["lost", "", "stalled", "error r"]);
});

test("the body of a start", () => {
  const words = { number: (name: string) => `${name} is wrong` };
  assert.deepEqual(startBody({ prefix: " a/b ", images: "100" }, words, {}), { prefix: "a/b", images: 100 });
  assert.deepEqual(startBody({}, words, {}), {});
  assert.deepEqual(startBody({ distance: "150", beam_slow: "10.5", beam_fast: "20" }, words, {}), { geometry: { distance: 0.15, beam_center: [10.5, 20] } });
  assert.deepEqual(startBody({ n_fast: "20", step_x: "2,5", snake: "true" }, words, {}), { grid: { n_fast: 20, n_slow: null, step_x_um: 2.5, step_y_um: 1, snake: true, vertical: false } });
  assert.equal(startBody({ images: "ten" }, words, { images: "Images" }), "Images is wrong");
  assert.equal(startBody({ beam_slow: "1" }, words, { beam_fast: "Beam" }), "Beam is wrong");
});

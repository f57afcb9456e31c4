import assert from "node:assert/strict";
import { test } from "node:test";
import { changesOf, LastWins, PAUSE, placeOf, rangeOf, valueAt, type Clock } from "../../src/whatif/trial.ts";

/** A clock that a test turns. */
class Hand implements Clock {
  time = 0;
  #waiting: { at: number; action: () => void }[] = [];

  now(): number {
    return this.time;
  }

  later(action: () => void, ms: number): void {
    this.#waiting.push({ at: this.time + ms, action });
  }

  async turn(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.#waiting.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.time = Math.max(this.time, next.at);
      next.action();
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
    this.time = end;
  }
}

test("at most five in a second, and the last one wins", async () => {
  const hand = new Hand();
  const done: [number, number][] = [];
  const trials = new LastWins<number>(async (value) => void done.push([value, hand.time]), hand);
  for (let value = 0; value < 100; value += 1) {
    trials.ask(value);
    await hand.turn(10);
  }
  await hand.turn(1000);
  assert.ok(done.length <= 6 && done.length >= 4, String(done.length));
  assert.equal(done.at(-1)![0], 99);
  for (let at = 1; at < done.length; at += 1) assert.ok(done[at]![1] - done[at - 1]![1] >= PAUSE);
  assert.ok(5 * PAUSE > 1000);
  assert.equal(trials.busy, false);
});

test("one at a time, however long it takes", async () => {
  const hand = new Hand();
  const begun: number[] = [];
  let end = (): void => {};
  const trials = new LastWins<number>((value) => {
    begun.push(value);
    return new Promise((resolve) => (end = resolve));
  }, hand);
  trials.ask(1);
  await hand.turn(0);
  trials.ask(2);
  trials.ask(3);
  await hand.turn(5000);
  assert.deepEqual(begun, [1]);
  end();
  await Promise.resolve();
  await Promise.resolve();
  await hand.turn(5000);
  assert.deepEqual(begun, [1, 3]);
  trials.ask(4);
  trials.clear();
  end();
  await Promise.resolve();
  await hand.turn(5000);
  assert.deepEqual(begun, [1, 3]);
});

test("what differs is told with both values", () => {
  assert.deepEqual(changesOf({ snr: 5, d_min: 2, same: 1 }, { snr: 6, d_max: 9, same: 1 }), [["snr", 5, 6], ["d_min", 2, null], ["d_max", null, 9]]);
  assert.deepEqual(changesOf({ a: [1, 2], b: null }, { a: [1, 2] }), []);
});

test("a slider gives back the values that it is put to", () => {
  const snr = rangeOf(null, null, 5, false);
  assert.deepEqual([snr.low, snr.high, snr.log], [1, 30, true]);
  for (const value of [1, 2.5, 5, 6.5, 12, 30]) assert.ok(Math.abs(valueAt(placeOf(value, snr), snr) / value - 1) < 0.005, String(value));
  assert.equal(placeOf(100, snr), 1000);
  assert.equal(placeOf(0.1, snr), 0);
  const connected = rangeOf(1, 25, 3, true);
  assert.deepEqual([connected.low, connected.high, connected.log], [1, 25, false]);
  assert.equal(rangeOf(1, null, 10, true).high, 100);
});

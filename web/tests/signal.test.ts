import assert from "node:assert/strict";
import { test } from "node:test";
import { calmly, change, followAll, Signal } from "../src/signal.ts";

test("followers are told of another value, and of that alone", () => {
  const signal = new Signal(1);
  const seen: number[] = [];
  const stop = signal.follow((value) => seen.push(value), true);
  signal.value = 1;
  signal.value = 2;
  stop();
  signal.value = 3;
  assert.deepEqual(seen, [1, 2]);
});

test("fields are replaced in a new value", () => {
  const signal = new Signal({ a: 1, b: 2 });
  const before = signal.value;
  change(signal, { b: 3 });
  assert.deepEqual(signal.value, { a: 1, b: 3 });
  assert.deepEqual(before, { a: 1, b: 2 });
});

test("a calm follower is called at once, and once more for all that came in its pause", async () => {
  let calls = 0;
  const call = calmly(() => (calls += 1), 30);
  call();
  assert.equal(calls, 1);
  call();
  call();
  assert.equal(calls, 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(calls, 2);
  call();
  assert.equal(calls, 3);
});

test("a follower of many is called once for the changes of a turn", async () => {
  const a = new Signal(1);
  const b = new Signal(1);
  let calls = 0;
  const stop = followAll([a, b] as never, () => (calls += 1));
  a.value = 2;
  b.value = 2;
  await Promise.resolve();
  assert.equal(calls, 1);
  a.value = 3;
  stop();
  await Promise.resolve();
  assert.equal(calls, 1);
});

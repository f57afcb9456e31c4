import assert from "node:assert/strict";
import { test } from "node:test";
import { KEYS, nameOf } from "../src/keys.ts";

const pressed = (key: string, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("keys have names", () => {
  assert.equal(nameOf(pressed("a")), "a");
  assert.equal(nameOf(pressed("?", { shiftKey: true })), "?");
  assert.equal(nameOf(pressed("ArrowLeft", { shiftKey: true })), "Shift+ArrowLeft");
  assert.equal(nameOf(pressed("Z", { ctrlKey: true, shiftKey: true })), "Ctrl+z");
});

test("no key does two things at one place", () => {
  const seen = new Set<string>();
  for (const key of Object.values(KEYS).flat()) {
    for (const name of key.keys) {
      const at = `${key.where} ${name}`;
      assert.ok(!seen.has(at), at);
      seen.add(at);
    }
  }
});

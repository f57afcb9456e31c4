import assert from "node:assert/strict";
import { test } from "node:test";
import { Signal } from "../src/signal.ts";
import { spotsThere } from "../src/spots_there.ts";

const store = (opened: object[], streamed: object[]) => ({ opened: new Signal(opened), streamed: new Signal(streamed), status: new Signal(null) }) as never;

test("without a geometry and a list there are no spots to ask for", () => {
  const file = { series: "file:a", geometry: null, overlays: [] as object[] };
  assert.equal(spotsThere(store([file], []), "file:a"), false);
  assert.equal(spotsThere(store([{ ...file, overlays: [{ name: "peaks" }] }], []), "file:a"), true);
  assert.equal(spotsThere(store([{ ...file, geometry: {} }], []), "file:a"), true);
  assert.equal(spotsThere(store([], [{ series: "1-a", geometry: null }]), "1-a"), false);
  assert.equal(spotsThere(store([], []), "1-a"), true);
});

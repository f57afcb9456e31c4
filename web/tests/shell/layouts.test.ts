import assert from "node:assert/strict";
import { test } from "node:test";
import { built, panelsOf, readLayout, withoutUnknown, type Layout } from "../../src/layouts.ts";
import { troubleOfName } from "../../src/layout_desk.ts";
import { PRESETS } from "../../src/presets.ts";

interface Node { type: string; data: Node[] | { views: string[] }; size: number }

const rootOf = (layout: Layout): Node => (layout.dock.grid as unknown as { root: Node }).root;

/** Ids of the panels of a grid, in the order of the leaves. */
function leaves(node: Node): string[][] {
  return node.type === "leaf" ? [(node.data as { views: string[] }).views] : (node.data as Node[]).flatMap(leaves);
}

/** Each branch is as large across as its parent says, and its children fill it along. */
function checkSizes(node: Node, along: number, across: number): void {
  if (node.type === "leaf") return;
  assert.ok(Math.abs(node.size - across) < 1e-6, `${node.size} is not ${across}`);
  const children = node.data as Node[];
  const sum = children.reduce((total, child) => total + child.size, 0);
  assert.ok(Math.abs(sum - along) < 1e-6, `${sum} is not ${along}`);
  for (const child of children) if (child.type === "branch") checkSizes(child, across, child.size);
}

test("a row of a column and tabs", () => {
  const layout = built({ row: [{ size: 3, tabs: [{ kind: "a" }] }, { column: [{ tabs: [{ kind: "b" }, { kind: "b", params: { x: 1 } }] }, { tabs: [{ kind: "c" }] }] }] }, (kind) => kind.toUpperCase());
  assert.deepEqual(leaves(rootOf(layout)), [["a-1"], ["b-1", "b-2"], ["c-1"]]);
  assert.deepEqual(panelsOf(layout), ["a", "b", "b", "c"]);
  assert.equal(layout.dock.panels["b-2"]?.title, "B");
  assert.deepEqual(layout.dock.panels["b-2"]?.params, { x: 1 });
  checkSizes(rootOf(layout), 1600, 900);
  assert.deepEqual((rootOf(layout).data as Node[]).map((node) => node.size), [1200, 400]);
});

test("every preset is a layout, and has an image", () => {
  for (const { id, tree } of PRESETS) {
    const layout = readLayout(JSON.parse(JSON.stringify(built(tree, (kind) => kind))));
    checkSizes(rootOf(layout), 1600, 900);
    const placed = leaves(rootOf(layout)).flat();
    assert.equal(new Set(placed).size, placed.length, id);
    assert.deepEqual([...placed].sort(), Object.keys(layout.dock.panels).sort());
    assert.ok(placed.includes("image-1"), id);
    assert.match(id, /^[A-Za-z0-9_.-]{1,64}$/);
  }
});

test("kinds that there are none of are left out, with the places that they alone had", () => {
  const tree = { row: [{ tabs: [{ kind: "a" }, { kind: "gone" }] }, { column: [{ tabs: [{ kind: "gone" }] }, { tabs: [{ kind: "lost" }] }] }] };
  const { layout, left } = withoutUnknown(built(tree, (kind) => kind), ["a"]);
  assert.deepEqual(left, ["gone", "lost"]);
  assert.deepEqual(Object.keys(layout.dock.panels), ["a-1"]);
  assert.deepEqual(leaves(rootOf(layout)), [["a-1"]]);
  assert.equal(withoutUnknown(built(tree, (kind) => kind), ["a", "gone", "lost"]).left.length, 0);
});

test("a layout of nothing is an empty desk", () => {
  const { layout } = withoutUnknown(built({ tabs: [{ kind: "gone" }] }, (kind) => kind), ["a"]);
  assert.deepEqual(rootOf(layout).data, []);
  assert.equal(rootOf(layout).type, "branch");
});

test("the panel in front is one that is there; floating ones of no panel go", () => {
  const layout = built({ tabs: [{ kind: "gone" }, { kind: "a" }, { kind: "a" }] }, (kind) => kind);
  const dock = layout.dock as unknown as { floatingGroups: object[]; popoutGroups: object[] };
  dock.floatingGroups = [{ data: { views: ["gone-1"], id: "9" }, position: {} }, { data: { views: ["a-2"], id: "8" }, position: {} }];
  dock.popoutGroups = [{}];
  const made = withoutUnknown(layout, ["a"]).layout;
  const leaf = (rootOf(made).data as Node[])[0]?.data as unknown as { views: string[]; activeView: string };
  assert.equal(leaf.activeView, "a-1");
  const floats = (made.dock as unknown as { floatingGroups: { data: { views: string[] } }[]; popoutGroups?: unknown });
  // a panel stands at one place: the first one that names it
  assert.deepEqual(leaf.views, ["a-1", "a-2"]);
  assert.deepEqual(floats.floatingGroups, []);
  assert.equal(floats.popoutGroups, undefined);
});

test("what is no layout is said", () => {
  for (const wrong of [null, 1, "x", {}, { crystint: "layout" }, { crystint: "layout", version: 2 }, { crystint: "layout", version: 1 }, { crystint: "layout", version: 1, dock: { panels: {} } }]) {
    assert.throws(() => readLayout(wrong), Error);
  }
  assert.throws(() => readLayout({ crystint: "layout", version: 2 }), /version 2/);
});

test("names of layouts", () => {
  assert.equal(troubleOfName("my-layout_1.2"), null);
  for (const wrong of ["", "a b", "ä", "a/b", "x".repeat(65), "serial", "<b>"]) assert.notEqual(troubleOfName(wrong), null, wrong);
  assert.notEqual(troubleOfName("mine", ["mine"]), null);
});

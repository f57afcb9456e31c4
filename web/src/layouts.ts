/** Layouts of panels as data: made of a short description, read from elsewhere, without panels that are not there. */
import type { SerializedDockview } from "dockview-core";

export type Params = Record<string, unknown>;

/** A panel of a description. */
export interface Placed {
  kind: string;
  params?: Params;
}

/** Panels beside each other, above each other, or as tabs; `size` = share of what it stands in. */
export type Tree = { row: Tree[]; size?: number } | { column: Tree[]; size?: number } | { tabs: Placed[]; size?: number };

/** A layout as it is stored: on the server, in the browser, in a file. */
export interface Layout {
  crystint: "layout";
  version: 1;
  dock: SerializedDockview;
}

interface GridNode {
  type: "branch" | "leaf";
  data: unknown;
  size?: number;
  visible?: boolean;
}

interface Leaf {
  views: string[];
  activeView?: string;
  id: string;
}

const WIDTH = 1600;
const HEIGHT = 900;

export function layoutOf(dock: SerializedDockview): Layout {
  return { crystint: "layout", version: 1, dock };
}

/** A layout of a description. */
export function built(tree: Tree, title: (kind: string, params: Params) => string): Layout {
  const panels: Record<string, object> = {};
  const numbers = new Map<string, number>();
  let groups = 0;

  const leaf = (placed: Placed[]): Leaf => {
    const views = placed.map(({ kind, params }) => {
      const number = (numbers.get(kind) ?? 0) + 1;
      numbers.set(kind, number);
      const id = `${kind}-${number}`;
      panels[id] = { id, contentComponent: kind, title: title(kind, params ?? {}), params: params ?? {} };
      return id;
    });
    groups += 1;
    return { views, activeView: views[0], id: String(groups) };
  };
  const node = (each: Tree, width: number, height: number, along: number): GridNode => {
    if ("tabs" in each) return { type: "leaf", data: leaf(each.tabs), size: along };
    const isRow = "row" in each;
    const children = isRow ? each.row : each.column;
    const total = children.reduce((sum, child) => sum + (child.size ?? 1), 0);
    const data = children.map((child) => {
      const share = (child.size ?? 1) / total;
      return isRow ? node(child, width * share, height, width * share) : node(child, width, height * share, height * share);
    });
    return { type: "branch", data, size: along };
  };
  const root = "tabs" in tree ? { row: [tree] } : tree;
  const isRow = "row" in root;
  const dock = {
    grid: {
      root: node(root, WIDTH, HEIGHT, isRow ? HEIGHT : WIDTH),
      width: WIDTH, height: HEIGHT, orientation: isRow ? "HORIZONTAL" : "VERTICAL",
    },
    panels,
    activeGroup: "1",
  };
  return layoutOf(dock as unknown as SerializedDockview);
}

/** What was read as a layout.
 *
 * Throws an Error that says what is wrong. */
export function readLayout(value: unknown): Layout {
  const layout = value as Partial<Layout> | null;
  if (typeof layout !== "object" || layout === null || layout.crystint !== "layout") throw new Error("that is no layout of this page");
  if (layout.version !== 1) throw new Error(`layouts of version ${String(layout.version)} are not known; this page knows 1`);
  const dock = layout.dock as Partial<SerializedDockview> | undefined;
  if (typeof dock !== "object" || dock === null || typeof dock.panels !== "object" || typeof dock.grid?.root !== "object") {
    throw new Error("the layout is damaged: it has no panels");
  }
  return layout as Layout;
}

/** A layout without the panels whose kind is not among `kinds`, and the kinds that were left out. */
export function withoutUnknown(layout: Layout, kinds: readonly string[]): { layout: Layout; left: string[] } {
  const copy = structuredClone(layout);
  const dock = copy.dock as unknown as {
    grid: { root: GridNode };
    panels: Record<string, { contentComponent?: string }>;
    floatingGroups?: { data: Leaf }[];
    popoutGroups?: unknown;
    edgeGroups?: unknown;
  };
  const left = new Set<string>();
  for (const [id, panel] of Object.entries(dock.panels)) {
    const kind = panel.contentComponent ?? "?";
    if (kinds.includes(kind)) continue;
    left.add(kind);
    delete dock.panels[id];
  }
  // windows of their own and strips at the edge are not made by this page
  delete dock.popoutGroups;
  delete dock.edgeGroups;
  const there = new Set<string>();
  const pruned = (leaf: Leaf): Leaf | null => {
    const views = leaf.views.filter((id) => id in dock.panels && !there.has(id));
    for (const id of views) there.add(id);
    if (views.length === 0) return null;
    return { ...leaf, views, activeView: views.includes(leaf.activeView ?? "") ? leaf.activeView : views[0] };
  };
  const walk = (node: GridNode): GridNode | null => {
    if (node.type === "leaf") {
      const data = pruned(node.data as Leaf);
      return data && { ...node, data };
    }
    const data = (node.data as GridNode[]).map(walk).filter((each) => each !== null);
    return data.length === 0 ? null : { ...node, data };
  };
  dock.grid.root = walk(dock.grid.root) ?? { ...dock.grid.root, type: "branch", data: [] };
  dock.floatingGroups = (dock.floatingGroups ?? []).flatMap((each) => {
    const data = pruned(each.data);
    return data === null ? [] : [{ ...each, data }];
  });
  for (const id of Object.keys(dock.panels)) if (!there.has(id)) delete dock.panels[id];
  return { layout: copy, left: [...left].sort() };
}

/** Whether two layouts have the same panels at the same places, whatever their sizes are. */
export function panelsOf(layout: Layout): string[] {
  return Object.values(layout.dock.panels).map((panel) => panel.contentComponent ?? "?").sort();
}

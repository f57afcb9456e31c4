/** Panels: what there is, where each stands, and what is done with them. */
import {
  createDockview, type AddPanelOptions, type DockviewApi, type DockviewGroupPanel, type GroupPanelPartInitParameters,
  type IContentRenderer, type IDockviewPanel,
} from "dockview-core";
import type { App } from "./app.ts";
import { button, element } from "./dom.ts";
import { layoutOf, withoutUnknown, type Layout, type Params } from "./layouts.ts";
import { menuButton, type MenuEntry } from "./menu.ts";
import { Signal } from "./signal.ts";
import { text } from "./text.ts";

export type { Params };
export type Side = "left" | "right" | "up" | "down";

/** A panel on the page. */
export interface Panel {
  dispose(): void;
  /** it has another size, or is seen again; never called while it is hidden behind another tab */
  resize?(): void;
  /** it is seen, or hidden behind another tab: what is not seen need not be drawn or asked for */
  seen?(now: boolean): void;
  /** what a saved layout needs to make it again */
  params?(): Params;
  /** it was gone to by the keyboard; else the focus goes to what takes keys in it */
  focus?(): void;
  /** its numbers, units and full precision */
  csv?(): string | Promise<string>;
}

/** A kind of panel. */
export interface PanelKind {
  id: string;
  title: string;
  /** there may be several of it */
  many?: boolean;
  /** what its tab says, where that is by its parameters */
  titleOf?(params: Params): string;
  make(container: HTMLElement, app: App, params: Params): Panel;
}

/** A panel is made when it is seen for the first time. */
class Content implements IContentRenderer {
  readonly element: HTMLElement;
  #panel: Panel | null = null;
  #kind: PanelKind;
  #app: App;
  #params: Params = {};
  #visible = false;
  #size = "";
  #watch = new ResizeObserver(() => this.#resized());

  constructor(kind: PanelKind, app: App) {
    this.#kind = kind;
    this.#app = app;
    this.element = element("div", { class: "panel", set: { "data-panel": kind.id, tabindex: "-1" } });
  }

  init(parameters: GroupPanelPartInitParameters): void {
    this.#params = parameters.params;
    this.#watch.observe(this.element);
    parameters.api.onDidVisibilityChange(({ isVisible }) => this.#show(isVisible));
    this.#show(parameters.api.isVisible);
  }

  #show(visible: boolean): void {
    if (visible === this.#visible) return;
    this.#visible = visible;
    this.#panel?.seen?.(visible);
    this.#resized();
  }

  /** It has another size; the first one is when it is made, so that what is in it can be measured from the beginning. */
  #resized(): void {
    if (!this.#visible || this.element.clientWidth === 0) return;
    const size = `${this.element.clientWidth}x${this.element.clientHeight}`;
    if (size === this.#size) return;
    this.#size = size;
    if (this.#panel === null) this.#make();
    this.#panel?.resize?.();
  }

  #make(): void {
    try {
      this.#panel = this.#kind.make(this.element, this.#app, this.#params);
    } catch (error) {
      this.element.replaceChildren(element("p", { class: "empty" }, text.shell.panelFailed(this.#kind.title)));
      this.#panel = { dispose: () => {} };
      this.#app.fail(error);
    }
  }

  focus(): void {
    this.#resized();
    if (this.#panel?.focus !== undefined) this.#panel.focus();
    else (this.element.querySelector<HTMLElement>("[data-keys][tabindex]") ?? this.element).focus();
  }

  params(): Params {
    return this.#panel?.params?.() ?? this.#params;
  }

  dispose(): void {
    this.#watch.disconnect();
    this.#panel?.dispose();
    this.#panel = null;
  }
}

export class Panels {
  /** counts changes of the desk: panels that came, went, were moved or resized */
  readonly changes = new Signal(0);
  #kinds = new Map<string, PanelKind>();
  #dock: DockviewApi | null = null;
  #contents = new Map<string, Content>();
  #app: App | null = null;

  register(kind: PanelKind): void {
    this.#kinds.set(kind.id, kind);
  }

  get kinds(): readonly PanelKind[] {
    return [...this.#kinds.values()];
  }

  /** Put the desk into an element. */
  mount(target: HTMLElement, app: App): void {
    this.#app = app;
    this.#dock = createDockview(target, {
      theme: { name: "crystint", className: "dockview-theme-crystint" },
      createComponent: ({ id, name }) => {
        const kind = this.#kind(name);
        const content = new Content(kind, app);
        this.#contents.set(id, content);
        return content;
      },
      // beside the tabs of a group: what can be done with the panel that is seen
      createRightHeaderActionComponent: (group) => ({
        element: menuButton("⋯", () => this.menuOf(group.activePanel), text.shell.panelMenu, false),
        init: () => {},
        dispose: () => {},
      }),
      createWatermarkComponent: () => ({ element: this.#nothing(), init: () => {} }),
      scrollbars: "native",
      dndStrategy: "pointer",
    });
    this.#dock.onDidRemovePanel((panel) => this.#contents.delete(panel.id));
    this.#dock.onDidLayoutChange(() => (this.changes.value += 1));
  }

  #nothing(): HTMLElement {
    const open = this.kinds.slice(0, 3).map((kind) => button(kind.title, () => this.open(kind.id)));
    return element("div", { class: "empty" }, element("p", {}, text.shell.noPanels), element("div", { class: "bar" }, ...open));
  }

  #kind(id: string): PanelKind {
    const kind = this.#kinds.get(id);
    if (kind === undefined) throw new Error(`there is no panel ${id}`);
    return kind;
  }

  get dock(): DockviewApi {
    if (this.#dock === null) throw new Error("the desk is not there yet");
    return this.#dock;
  }

  /** Show a panel and go to it: the one that is there, or a new one. */
  open(id: string, params: Params = {}, place: Partial<AddPanelOptions> = {}): void {
    const kind = this.#kind(id);
    const there = this.dock.panels.find((panel) => panel.view.contentComponent === id);
    if (there !== undefined && kind.many !== true) {
      this.focus(there);
      return;
    }
    let number = 1;
    while (this.dock.getPanel(`${id}-${number}`) !== undefined) number += 1;
    const made = this.dock.addPanel({ id: `${id}-${number}`, component: id, title: kind.titleOf?.(params) ?? kind.title, params, ...place } as AddPanelOptions);
    this.focus(made);
  }

  /** Another title of the panel that a container belongs to. */
  rename(container: HTMLElement, title: string): void {
    for (const [id, content] of this.#contents) if (content.element === container) this.dock.getPanel(id)?.api.setTitle(title);
  }

  /** The panel's parameters are others: to be remembered with the layout. */
  changed(): void {
    this.changes.value += 1;
  }

  get all(): readonly IDockviewPanel[] {
    return this.dock.panels;
  }

  /** Panels that are seen, in the order in which they are read: from the top, from the left, floating ones last. */
  get seen(): IDockviewPanel[] {
    const order = this.dock.groups
      .filter((group) => group.activePanel !== undefined)
      .map((group) => ({ panel: group.activePanel as IDockviewPanel, box: group.element.getBoundingClientRect(), group }));
    const floats = (group: DockviewGroupPanel): number => (group.api.location.type === "grid" ? 0 : 1);
    order.sort((a, b) => floats(a.group) - floats(b.group) || a.box.top - b.box.top || a.box.left - b.box.left);
    return order.map(({ panel }) => panel);
  }

  /** Go to a panel. */
  focus(panel: IDockviewPanel | undefined): void {
    if (panel === undefined) return;
    panel.api.setActive();
    this.#contents.get(panel.id)?.focus();
  }

  /** Go `steps` panels on among those that are seen. */
  step(steps: number): void {
    const seen = this.seen;
    const at = seen.findIndex((panel) => panel.group.element.contains(document.activeElement));
    const start = at < 0 && steps < 0 ? 0 : at;
    this.focus(seen[(start + steps + seen.length) % Math.max(1, seen.length)]);
  }

  /** Go `steps` tabs on in the group that has the focus. */
  tab(steps: number): void {
    const group = this.dock.activeGroup;
    if (group === undefined || group.activePanel === undefined) return;
    const tabs = group.panels;
    this.focus(tabs[(tabs.indexOf(group.activePanel) + steps + tabs.length) % tabs.length]);
  }

  /** Join the panel with what stands beside it; where nothing does, it gets a place of its own there. */
  move(panel: IDockviewPanel | undefined, side: Side): void {
    if (panel === undefined) return;
    const beside = this.dock.adjacentGroupInDirection(panel.group, side);
    if (beside !== undefined) panel.api.moveTo({ group: beside as DockviewGroupPanel, position: "center" });
    else if (panel.group.panels.length > 1 || panel.api.location.type !== "grid") this.split(panel, side);
    this.focus(panel);
  }

  /** Give a panel that is one of several tabs a place of its own beside them. */
  split(panel: IDockviewPanel | undefined, side: Side): void {
    if (panel === undefined) return;
    const position = side === "up" ? "top" : side === "down" ? "bottom" : side;
    const floats = panel.api.location.type !== "grid";
    const group = floats ? this.dock.groups.find((each) => each.api.location.type === "grid") : panel.group;
    if (group === undefined) panel.api.moveTo({ position });
    else panel.api.moveTo({ group, position });
    this.focus(panel);
  }

  /** px: make a panel wider and taller. */
  grow(panel: IDockviewPanel | undefined, wider: number, taller: number): void {
    if (panel === undefined) return;
    const { width, height } = panel.group.api;
    panel.group.api.setSize({ ...(wider === 0 ? {} : { width: width + wider }), ...(taller === 0 ? {} : { height: height + taller }) });
  }

  maximise(panel: IDockviewPanel | undefined): void {
    if (panel === undefined || panel.api.location.type !== "grid") return;
    if (panel.api.isMaximized()) panel.api.exitMaximized();
    else panel.api.maximize();
    this.focus(panel);
  }

  float(panel: IDockviewPanel | undefined): void {
    if (panel === undefined) return;
    if (panel.api.location.type === "floating") {
      this.split(panel, "right");
      return;
    }
    const width = Math.min(560, this.dock.width * 0.6);
    const height = Math.min(420, this.dock.height * 0.6);
    this.dock.addFloatingGroup(panel, { width, height, x: (this.dock.width - width) / 2, y: (this.dock.height - height) / 3 });
    this.focus(panel);
  }

  close(panel: IDockviewPanel | undefined): void {
    panel?.api.close();
    this.focus(this.dock.activePanel);
  }

  get active(): IDockviewPanel | undefined {
    return this.dock.activePanel;
  }

  /** What can be done with a panel. */
  menuOf(panel: IDockviewPanel | undefined): MenuEntry[] {
    if (panel === undefined) return [];
    const words = text.shell.panelMenuItems;
    const kind = this.#kinds.get(panel.view.contentComponent);
    const floats = panel.api.location.type !== "grid";
    const entries: MenuEntry[] = [
      { text: panel.api.isMaximized() ? words.restore : words.maximise, hint: "F9", disabled: floats, press: () => this.maximise(panel) },
      { text: floats ? words.dock : words.float, hint: "Shift+F9", press: () => this.float(panel) },
    ];
    if (kind?.many === true) {
      const params = this.#contents.get(panel.id)?.params() ?? {};
      entries.push({ text: words.another, press: () => this.open(kind.id, params, { position: { referencePanel: panel, direction: "right" } }) });
    }
    entries.push({ section: words.move });
    for (const side of ["left", "right", "up", "down"] as const) {
      entries.push({ text: words.sides[side], hint: `Ctrl+Shift+${words.arrows[side]}`, press: () => this.move(panel, side) });
    }
    if (panel.group.panels.length > 1) {
      entries.push({ text: words.beside, press: () => this.split(panel, "right") }, { text: words.below, press: () => this.split(panel, "down") });
    }
    entries.push({ section: "" }, { text: words.close, press: () => this.close(panel) });
    return entries;
  }

  /** The layout, with what each panel needs. */
  save(): Layout {
    const dock = this.dock.toJSON();
    for (const [id, panel] of Object.entries(dock.panels)) panel.params = this.#contents.get(id)?.params() ?? {};
    return layoutOf(dock);
  }

  /** Lay the panels out; kinds that there are none of are left out, and said where it is a layout of somebody's.
   *
   * Throws an Error when it cannot be done; the desk is empty then. */
  load(layout: Layout, tellMissing = true): void {
    const { layout: usable, left } = withoutUnknown(layout, this.kinds.map((kind) => kind.id));
    this.dock.fromJSON(usable.dock);
    if (left.length > 0 && tellMissing) this.#app?.tell(text.shell.panelsLeftOut(left.join(", ")), "warning");
  }
}

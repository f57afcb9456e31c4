/** Panels: what there is, where it stands, and how that is remembered. */
import { createDockview, type AddPanelOptions, type DockviewApi, type IContentRenderer, type SerializedDockview } from "dockview-core";
import type { App } from "./app.ts";
import { element } from "./dom.ts";

export type Params = Record<string, unknown>;

/** A panel on the page. */
export interface Panel {
  dispose(): void;
  /** the panel has another size, or is seen again */
  resize?(): void;
  /** what a saved layout needs to make it again */
  params?(): Params;
}

/** A kind of panel. */
export interface PanelKind {
  id: string;
  title: string;
  /** there may be several of it */
  many?: boolean;
  make(container: HTMLElement, app: App, params: Params): Panel;
}

class Content implements IContentRenderer {
  readonly element = element("div", { class: "panel" });
  #panel: Panel | null = null;
  #kind: PanelKind;
  #app: App;
  #watch = new ResizeObserver(() => this.#panel?.resize?.());

  constructor(kind: PanelKind, app: App) {
    this.#kind = kind;
    this.#app = app;
  }

  init(parameters: { params: Params }): void {
    this.#panel = this.#kind.make(this.element, this.#app, parameters.params);
    this.#watch.observe(this.element);
  }

  params(): Params {
    return this.#panel?.params?.() ?? {};
  }

  dispose(): void {
    this.#watch.disconnect();
    this.#panel?.dispose();
  }
}

export class Panels {
  #kinds = new Map<string, PanelKind>();
  #dock: DockviewApi | null = null;
  #contents = new Map<string, Content>();

  register(kind: PanelKind): void {
    this.#kinds.set(kind.id, kind);
  }

  get kinds(): readonly PanelKind[] {
    return [...this.#kinds.values()];
  }

  /** Put the desk into an element. */
  mount(target: HTMLElement, app: App): void {
    this.#dock = createDockview(target, {
      theme: { name: "crystint", className: "dockview-theme-crystint" },
      createComponent: ({ id, name }) => {
        const kind = this.#kinds.get(name);
        if (kind === undefined) throw new Error(`there is no panel ${name}`);
        const content = new Content(kind, app);
        this.#contents.set(id, content);
        return content;
      },
    });
    this.#dock.onDidRemovePanel((panel) => this.#contents.delete(panel.id));
  }

  get dock(): DockviewApi {
    if (this.#dock === null) throw new Error("the desk is not there yet");
    return this.#dock;
  }

  /** Show a panel: the one that is there, or a new one. */
  open(id: string, params: Params = {}, place: Partial<AddPanelOptions> = {}): void {
    const kind = this.#kinds.get(id);
    if (kind === undefined) throw new Error(`there is no panel ${id}`);
    const there = this.dock.panels.find((panel) => panel.view.contentComponent === id);
    if (there !== undefined && kind.many !== true) {
      there.api.setActive();
      return;
    }
    let number = 1;
    while (this.dock.getPanel(`${id}-${number}`) !== undefined) number += 1;
    this.dock.addPanel({ id: `${id}-${number}`, component: id, title: kind.title, params, ...place } as AddPanelOptions);
  }

  /** The layout as JSON, with what each panel needs. */
  save(): SerializedDockview {
    for (const panel of this.dock.panels) panel.api.updateParameters(this.#contents.get(panel.id)?.params() ?? {});
    return this.dock.toJSON();
  }

  /** Throws an error when it is no layout of this page. */
  load(layout: SerializedDockview): void {
    this.dock.fromJSON(layout);
  }
}

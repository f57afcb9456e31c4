/** Keys of the plot that has the focus. */
import type { App } from "../app.ts";
import { KEYS } from "../keys.ts";

export type Handlers = Readonly<Record<string, () => void>>;

const handlers = new WeakMap<Element, Handlers>();

/** What keys do where `target` has the focus, by their ids. */
export function listen(target: HTMLElement, own: Handlers): void {
  target.dataset.keys = "plots";
  target.tabIndex = 0;
  handlers.set(target, own);
}

export function registerKeys(app: App): void {
  for (const { id, where } of KEYS.plots) {
    if (where !== "plots") continue;
    app.keys.on(id, (event) => {
      const target = event.target instanceof Element ? event.target.closest("[data-keys=plots]") : null;
      if (target !== null) handlers.get(target)?.[id]?.();
    });
  }
}

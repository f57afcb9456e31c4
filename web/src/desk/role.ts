/** Who may look alone finds what changes something disabled, with the reason. */
import type { App } from "../app.ts";

type Control = HTMLButtonElement | HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement | HTMLFieldSetElement;

/** Disable controls for those who may not change anything; what comes back ends that. */
export function mayChange(app: App, controls: readonly Control[], why: string): () => void {
  return app.store.session.follow((session) => {
    for (const control of controls) {
      control.disabled = session.role !== "control";
      control.title = control.disabled ? why : "";
    }
  }, true);
}

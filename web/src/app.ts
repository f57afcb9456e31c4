/** What every part of the page is handed. */
import type { Api } from "./api.ts";
import type { Commands } from "./commands.ts";
import type { Keys } from "./keys.ts";
import type { Live } from "./live.ts";
import type { Panels } from "./panels.ts";
import type { Store } from "./store.ts";

export type Loudness = "note" | "warning" | "error";

/** What can be done about what is told. */
export interface Action {
  text: string;
  press(): void;
}

/** Places of the frame of the page that parts fill. */
export interface Frame {
  /** in the bar at the top: what is wrong with the measurement */
  readonly alarms: HTMLElement;
  /** in the bar at the bottom: what is under the cursor */
  readonly readout: HTMLElement;
}

export interface App {
  readonly api: Api;
  readonly store: Store;
  readonly live: Live;
  readonly keys: Keys;
  readonly panels: Panels;
  readonly commands: Commands;
  readonly frame: Frame;
  /** Tell the user something, once, in words. Notes and warnings go by themselves, errors stay until they are closed. */
  tell(words: string, loudness?: Loudness, action?: Action): void;
  /** Tell why something did not work, and give back nothing: for promises that nobody waits for. */
  fail(error: unknown): void;
}

/** What every part of the page is handed. */
import type { Api } from "./api.ts";
import type { Keys } from "./keys.ts";
import type { Live } from "./live.ts";
import type { Panels } from "./panels.ts";
import type { Store } from "./store.ts";

export type Loudness = "note" | "warning" | "error";

export interface App {
  readonly api: Api;
  readonly store: Store;
  readonly live: Live;
  readonly keys: Keys;
  readonly panels: Panels;
  /** Tell the user something, once, in words. */
  tell(words: string, loudness?: Loudness): void;
  /** Tell why something did not work, and give back nothing: for promises that nobody waits for. */
  fail(error: unknown): void;
}

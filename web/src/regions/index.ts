/** The part of the page that is called regions. */
import type { App } from "../app.ts";

export function register(_app: App): void {}

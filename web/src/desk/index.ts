/** The part of the page that is called desk. */
import type { App } from "../app.ts";

export function register(_app: App): void {}

/** Light or dark: as the system has it, or as it was chosen in this browser. */
import { Signal } from "./signal.ts";

export type Choice = "system" | "light" | "dark";

const NAME = "crystint.theme";
export const CHOICES: readonly Choice[] = ["system", "light", "dark"];

/** What is shown, for a choice and what the system has. */
export function shownBy(choice: Choice, systemIsDark: boolean): "light" | "dark" {
  return choice === "system" ? (systemIsDark ? "dark" : "light") : choice;
}

/** Follow the choice: the root of the page and `shown` have what is to be shown. */
export function followTheme(shown: Signal<"light" | "dark">): Signal<Choice> {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = localStorage.getItem(NAME);
  const choice = new Signal<Choice>(CHOICES.find((each) => each === stored) ?? "system");
  const show = (): void => {
    const now = shownBy(choice.value, system.matches);
    document.documentElement.dataset.theme = now;
    shown.value = now;
  };
  system.addEventListener("change", show);
  choice.follow((value) => {
    localStorage.setItem(NAME, value);
    show();
  });
  show();
  return choice;
}

/** A colour of the page (`accent`, `series-1`) as CSS writes it, for what draws on a canvas; ask again when
 * `store.theme` changes. */
export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

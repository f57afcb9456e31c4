/** What can be done by name: the list that Ctrl+K searches. */

export interface Command {
  /** what it is about, before the text: "Panel", "Layout" */
  section: string;
  text: string;
  /** its key */
  hint?: string;
  run(): void;
}

/** Commands of all parts of the page. Those of a source are asked for each time. */
export class Commands {
  #sources: (() => readonly Command[])[] = [];

  add(source: () => readonly Command[]): void {
    this.#sources.push(source);
  }

  get all(): Command[] {
    return this.#sources.flatMap((source) => source());
  }
}

/** Commands that have every word of a search in them, those where the text begins with it first. */
export function matching(commands: readonly Command[], search: string): Command[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const whole = (each: Command): string => `${each.section} ${each.text}`.toLowerCase();
  const first = words[0] ?? "";
  const rank = (each: Command): number => (each.text.toLowerCase().startsWith(first) ? 0 : whole(each).startsWith(first) ? 1 : 2);
  return commands
    .filter((each) => words.every((word) => whole(each).includes(word)))
    .map((each, index) => ({ each, index, rank: rank(each) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ each }) => each);
}

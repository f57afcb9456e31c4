/** Fields of files below the data root: typed, or chosen in its folders. */
import type { Api } from "../api.ts";
import { button, element } from "../dom.ts";
import type { FileControl } from "../form.ts";
import { text } from "../text.ts";

export interface Entry {
  name: string;
  kind: string | null;
}

/** Where a name in a folder leads to. */
export function joined(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

export function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at < 0 ? "" : path.slice(0, at);
}

/** Those that fit before the others, folders first. */
export function ordered(entries: readonly Entry[], kinds: readonly string[]): Entry[] {
  const rank = ({ kind }: Entry): number => (kind === "folder" ? 0 : kind !== null && kinds.includes(kind) ? 1 : 2);
  return [...entries].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** A control for a file, or for several: a name in each line. */
export function fileControl(api: Api, fail: (error: unknown) => void, kinds: readonly string[], many: boolean, label: string): FileControl {
  const set = { autocomplete: "off", spellcheck: "false", placeholder: many ? text.jobs.filesHint : text.jobs.fileHint };
  const input = many ? element("textarea", { label, set: { ...set, rows: "2" } }) : element("input", { type: "text", label, set });
  const list = element("div", { class: "file-list", role: "listbox", label: text.jobs.filesOf(label) });
  list.hidden = true;
  const put = (path: string): void => {
    const before = input.value.trim();
    input.value = many && before !== "" ? `${before}\n${path}` : path;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const close = (): void => {
    list.hidden = true;
    browse.setAttribute("aria-expanded", "false");
  };
  const show = async (folder: string): Promise<void> => {
    let entries: Entry[];
    try {
      entries = ordered((await api.json<{ entries: Entry[] }>("files", { query: { path: folder } })).entries, kinds);
    } catch (error) {
      fail(error);
      return;
    }
    const line = (words: string, detail: string, good: boolean, press: () => void): HTMLButtonElement =>
      button(words, press, { class: good ? "quiet file-entry" : "quiet file-entry soft", role: "option", ...(detail === "" ? {} : { title: detail }) });
    list.replaceChildren(element("p", { class: "small soft" }, text.jobs.folder(folder)));
    if (folder !== "") list.append(line("..", text.jobs.folderUp, true, () => void show(folderOf(folder))));
    for (const { name, kind } of entries) {
      const path = joined(folder, name);
      if (kind === "folder") list.append(line(`${name}/`, text.jobs.folderWord, true, () => void show(path)));
      else {
        list.append(line(name, kind ?? text.jobs.unknownKind, kind !== null && kinds.includes(kind), () => {
          put(path);
          close();
          input.focus();
        }));
      }
    }
    if (entries.length === 0) list.append(element("p", { class: "small soft" }, text.jobs.noFiles));
    list.hidden = false;
    browse.setAttribute("aria-expanded", "true");
    list.querySelector("button")?.focus();
  };
  const browse = button(text.jobs.browse, () => {
    if (list.hidden) void show(folderOf(input.value.trim().split("\n").at(-1) ?? ""));
    else close();
  }, { label: text.jobs.browseFor(label), set: { "aria-expanded": "false" } });
  list.addEventListener("keydown", (event) => {
    const lines = [...list.querySelectorAll("button")];
    const at = lines.indexOf(document.activeElement as HTMLButtonElement);
    if (event.key === "Escape") {
      close();
      browse.focus();
    } else if (event.key === "ArrowDown") lines[Math.min(at + 1, lines.length - 1)]?.focus();
    else if (event.key === "ArrowUp") lines[Math.max(at - 1, 0)]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const box = element("div", { class: "file-field" }, input, browse, list);
  return { element: box, input, typed: () => input.value, put: (words) => void (input.value = words) };
}

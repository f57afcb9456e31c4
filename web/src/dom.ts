/** Elements, made in short. Texts are set as text, never as markup. */

type Child = Node | string;

export interface Attributes {
  class?: string;
  /** accessible name */
  label?: string;
  title?: string;
  role?: string;
  type?: string;
  id?: string;
  /** further attributes */
  set?: Record<string, string>;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  const { class: name, label, set, ...plain } = attributes;
  if (name !== undefined) made.className = name;
  if (label !== undefined) made.setAttribute("aria-label", label);
  for (const [key, value] of Object.entries({ ...plain, ...set })) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function button(text: string, press: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", press);
  return made;
}

/** Words of an element; nothing is laid out again where they are the same. */
export function tell(target: Node, words: string): void {
  if (target.textContent !== words) target.textContent = words;
}

/** As `tell`, an attribute. */
export function mark(target: Element, name: string, value: string): void {
  if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

/** Words into the clipboard; false = the browser does not let the page do that. */
export async function copied(words: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    return false;
  }
}

/** Give the user a file. */
export function download(name: string, content: Blob): void {
  const link = element("a", { set: { download: name } });
  link.href = URL.createObjectURL(content);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

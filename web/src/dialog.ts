/** Dialogs of the page: the browser's own, which keep the focus inside and close at Escape. */
import { button, element } from "./dom.ts";
import { text } from "./text.ts";

export interface Opened {
  element: HTMLDialogElement;
  close(): void;
}

let made = 0;

/** Show a dialog; `closed` is called once, whoever closes it. */
export function openDialog(title: string, content: readonly Node[], closed: () => void = () => {}, name = ""): Opened {
  made += 1;
  const id = `dialog-${made}`;
  const close = (): void => dialog.close();
  const dialog = element(
    "dialog", { class: `dialog ${name}`, set: { "aria-labelledby": id } },
    element(
      "header", {},
      element("h2", { id }, title),
      button("×", close, { class: "quiet icon", label: text.shell.close }),
    ),
    ...content,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  // on the veil, which is the dialog's own area outside of its box
  dialog.addEventListener("mousedown", (event) => {
    if (event.target !== dialog) return;
    const box = dialog.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom;
    if (!inside) close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return { element: dialog, close };
}

/** Whether the user agrees to `words`, by a button that says `action`. */
export function agree(title: string, words: string, action: string): Promise<boolean> {
  return new Promise((resolve) => {
    let agreed = false;
    const yes = button(action, () => {
      agreed = true;
      opened.close();
    }, { class: "primary" });
    const opened = openDialog(
      title,
      [element("p", { class: "pad" }, words), element("div", { class: "actions pad" }, button(text.shell.cancel, () => opened.close()), yes)],
      () => resolve(agreed),
    );
    yes.focus();
  });
}

/** A text that the user enters; null = none. `trouble` says why one cannot be taken, null = it can. */
export function askText(
  title: string, label: string, value: string, action: string, trouble: (value: string) => string | null = () => null,
): Promise<string | null> {
  return new Promise((resolve) => {
    let entered: string | null = null;
    const input = element("input", { type: "text", id: `ask-${made}`, set: { autocomplete: "off" } });
    input.value = value;
    const wrong = element("p", { class: "trouble", role: "alert" });
    const form = element(
      "form", { class: "form" },
      element("div", { class: "row" }, element("label", { set: { for: input.id } }, label), input),
      wrong,
      element(
        "div", { class: "actions" },
        button(text.shell.cancel, () => opened.close()), element("button", { class: "primary", type: "submit" }, action),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const why = trouble(input.value.trim());
      wrong.textContent = why ?? "";
      input.setAttribute("aria-invalid", String(why !== null));
      if (why !== null) return;
      entered = input.value.trim();
      opened.close();
    });
    const opened = openDialog(title, [form], () => resolve(entered));
    input.select();
  });
}

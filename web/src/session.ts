/** Who looks: a token is exchanged for a cookie, at the beginning and again whenever the cookie has ended. */
import { Api, ApiError } from "./api.ts";
import type { Session } from "./api_types.ts";
import { element } from "./dom.ts";
import { text } from "./text.ts";

const TOKEN = /(^#|&)token=([A-Za-z0-9_-]+)(&?)/;

/** A token in the part of an address after #, and that part without it. */
export function tokenOf(hash: string): { token: string | null; rest: string } {
  const match = TOKEN.exec(hash);
  if (match === null) return { token: null, rest: hash };
  const rest = hash.replace(TOKEN, (_all, before: string) => (before === "#" ? "#" : "&")).replace(/^#&?$|&$/, "");
  return { token: match[2] ?? null, rest };
}

export class Sessions {
  #api: Api;
  #asking: Promise<Session> | null = null;
  /** there is a session again, after it was asked for */
  renewed: (session: Session) => void = () => {};

  constructor(api: Api) {
    this.#api = api;
    api.unauthorized = async () => {
      this.renewed(await this.ask(text.shell.sessionEnded));
    };
  }

  /** The session of the token in the address, of the cookie, or of a token that is asked for. */
  async begin(): Promise<Session> {
    const { token, rest } = tokenOf(location.hash);
    let why = "";
    if (token !== null) {
      // no token stays in the address, where it would be copied and kept
      history.replaceState(null, "", location.pathname + rest);
      try {
        const session = await this.#enter(token);
        if (session !== null) return session;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 401) throw error;
        why = text.shell.wrongToken;
      }
    }
    const session = await this.#api.json<Session>("session");
    return session.role === null ? this.ask(why) : session;
  }

  /** What is allowed now, where the answer tells it. */
  async #enter(token: string): Promise<Session | null> {
    const { headers } = await this.#api.bytes("session", { method: "POST", body: { token } });
    return JSON.parse(headers.get("X-Session") ?? "null") as Session | null;
  }

  /** Ask for a token until one is right. One dialog, however many ask. */
  ask(why: string): Promise<Session> {
    this.#asking ??= this.#dialog(why).finally(() => (this.#asking = null));
    return this.#asking;
  }

  #dialog(why: string): Promise<Session> {
    return new Promise((resolve) => {
      const input = element("input", {
        type: "password", id: "token",
        set: { autocomplete: "current-password", required: "", "aria-describedby": "token-help token-trouble", spellcheck: "false" },
      });
      const trouble = element("p", { class: "trouble", role: "alert", id: "token-trouble" }, why);
      const form = element(
        "form", { class: "form" },
        element("label", { set: { for: "token" } }, text.shell.token), input,
        element("p", { class: "help", id: "token-help" }, text.shell.tokenHelp), trouble,
        element("div", { class: "actions" }, element("button", { type: "submit", class: "primary" }, text.shell.enter)),
      );
      const dialog = element(
        "dialog", { class: "dialog token", set: { "aria-labelledby": "token-title" } },
        element("header", {}, element("h1", { id: "token-title" }, text.shell.tokenTitle)), form,
      );
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        // the whole address that crystint printed may be entered as well
        const entered = input.value.trim();
        this.#enter(tokenOf(entered.slice(entered.indexOf("#"))).token ?? entered)
          .then(() => this.#api.json<Session>("session"))
          .then((session) => {
            dialog.close();
            dialog.remove();
            resolve(session);
          })
          .catch((error: Error) => {
            trouble.textContent = error instanceof ApiError && error.status === 401 ? text.shell.wrongToken : error.message;
            input.setAttribute("aria-invalid", "true");
            input.select();
          });
      });
      document.body.append(dialog);
      dialog.showModal();
      input.focus();
    });
  }
}

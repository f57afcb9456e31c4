/** The page: a session first, then the desk with its panels. */
import { Api, ApiError } from "./api.ts";
import type { Session, Status } from "./api_types.ts";
import type { App, Loudness } from "./app.ts";
import { button, element } from "./dom.ts";
import * as desk from "./desk/index.ts";
import * as image from "./image/index.ts";
import * as jobs from "./jobs/index.ts";
import { Keys } from "./keys.ts";
import { Live } from "./live.ts";
import { Panels } from "./panels.ts";
import * as plots from "./plots/index.ts";
import * as regions from "./regions/index.ts";
import { Store } from "./store.ts";
import { text } from "./text.ts";
import { followTheme } from "./theme.ts";
import * as whatif from "./whatif/index.ts";

const PARTS = [image, regions, plots, desk, whatif, jobs];

function tell(words: string, loudness: Loudness = "note"): void {
  const line = element("p", { class: `message ${loudness}` }, words);
  document.getElementById("messages")?.append(line);
  setTimeout(() => line.remove(), loudness === "note" ? 4000 : 12_000);
}

function tokenOfAddress(): string | null {
  const match = /(?:^#|&)token=([A-Za-z0-9_-]+)/.exec(location.hash);
  return match?.[1] ?? null;
}

/** Exchange the token of the address for a cookie, and take it out of the address. */
async function session(api: Api): Promise<Session> {
  const token = tokenOfAddress();
  if (token !== null) {
    const rest = location.hash.replace(/(^#|&)token=[A-Za-z0-9_-]+&?/, "$1").replace(/^#$|&$/, "");
    history.replaceState(null, "", location.pathname + rest);
    await api.json("session", { method: "POST", body: { token } });
  }
  return api.json<Session>("session");
}

/** Ask for a token until one is right. */
function askForToken(api: Api): Promise<Session> {
  return new Promise((resolve) => {
    const input = element("input", { type: "password", label: text.shell.token, set: { autocomplete: "off", required: "" } });
    const trouble = element("p", { class: "trouble", role: "alert" });
    const enter = async (): Promise<void> => {
      try {
        await api.json("session", { method: "POST", body: { token: input.value.trim() } });
        const made = await api.json<Session>("session");
        form.remove();
        resolve(made);
      } catch (error) {
        trouble.textContent = error instanceof ApiError && error.status === 401 ? text.shell.wrongToken : String((error as Error).message);
      }
    };
    const form = element(
      "form", { class: "token" },
      element("h1", {}, text.shell.title), element("p", {}, text.shell.tokenHelp), input,
      button(text.shell.enter, () => void enter()), trouble,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void enter();
    });
    document.getElementById("desk")?.append(form);
    input.focus();
  });
}

async function begin(): Promise<void> {
  const base = document.baseURI;
  const store = new Store();
  followTheme(store.theme);
  const api = new Api(base);
  let made: Session;
  try {
    made = await session(api);
  } catch (error) {
    tell((error as Error).message, "error");
    made = { role: null, source: "stream", version: "" };
  }
  if (made.role === null) made = await askForToken(api);
  store.session.value = made;
  const app: App = {
    api, store, live: new Live(base), keys: new Keys(), panels: new Panels(), tell,
    fail: (error) => {
      if (error instanceof DOMException && error.name === "AbortError") return;
      tell(error instanceof Error ? error.message : String(error), "error");
      if (!(error instanceof ApiError)) console.error(error);
    },
  };
  for (const part of PARTS) part.register(app);
  const target = document.getElementById("desk");
  if (target === null) throw new Error("the page has no desk");
  app.panels.mount(target, app);
  for (const kind of app.panels.kinds) app.panels.open(kind.id);
  void poll(app);
}

/** Ask for the status, once a second while the page is seen. */
async function poll(app: App): Promise<void> {
  for (;;) {
    if (!document.hidden) {
      try {
        app.store.status.value = await app.api.json<Status>("status");
      } catch {
        app.store.status.value = null;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

void begin();

/** A job in the list: its state, how far it is, what can be done with it; unfolded its log and its command line. */
import type { App } from "../app.ts";
import { button, copied, element } from "../dom.ts";
import { text } from "../text.ts";
import { jobList } from "./job_list.ts";
import { overlayDesk } from "./overlay_desk.ts";
import { isActive, secondsOf, shareOf, type Job, type JobReport, type JobState } from "./types.ts";
import { openFile } from "./open_file.ts";

const LOOKS: Record<JobState, string> = { queued: "badge", running: "badge accent", done: "badge good", failed: "badge bad", cancelled: "badge warn" };

export class JobRow {
  readonly element: HTMLElement;
  #app: App;
  #again: (job: Job) => void;
  #job: Job | null = null;
  #state = element("span", { class: "badge" });
  #name = element("strong", { class: "job-name" });
  #command = element("span", { class: "soft small" });
  #far = element("span", { class: "soft small number" });
  #bar = element("progress", { set: { max: "1" } });
  #actions = element("div", { class: "bar" });
  #error = element("p", { class: "trouble small" });
  #more = element("details", { class: "job-more" });
  #line = element("code", { class: "job-line", set: { tabindex: "0" } });
  #facts = element("dl", { class: "facts small" });
  #log = element("pre", { class: "job-log small", label: text.jobs.log, set: { tabindex: "0" } });
  #report = element("pre", { class: "job-log small", label: text.jobs.report, set: { tabindex: "0" } });
  #actionsOf = "";

  constructor(app: App, again: (job: Job) => void) {
    this.#app = app;
    this.#again = again;
    this.#report.hidden = true;
    this.#more.append(
      element("summary", {}, text.jobs.details),
      element("div", { class: "job-command" }, this.#line, button(text.jobs.copy, () => void this.#copy())),
      this.#facts,
      element("div", { class: "bar" }, element("h3", {}, text.jobs.log), button(text.jobs.wholeLog, () => void this.#wholeLog(), { class: "quiet small" })),
      this.#log,
    );
    this.element = element(
      "div", { class: "job", role: "listitem" },
      element("div", { class: "bar" }, this.#state, this.#name, this.#command, element("span", { class: "spacer" }), this.#far),
      this.#bar, this.#error, this.#actions, this.#report, this.#more,
    );
  }

  show(job: Job): void {
    this.#job = job;
    this.#state.className = LOOKS[job.state];
    this.#state.textContent = text.jobs.states[job.state];
    this.#name.textContent = job.name;
    this.#command.textContent = job.command;
    this.element.dataset.job = String(job.id);
    this.element.dataset.state = job.state;
    const share = shareOf(job), seconds = secondsOf(job, Date.now());
    this.#bar.hidden = job.state !== "running";
    this.#bar.setAttribute("aria-label", text.jobs.progressOf(job.name));
    if (share === null) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
    const words: string[] = [];
    if (job.state === "running" && job.progress !== null) words.push(`${job.progress.what} ${job.progress.done}/${job.progress.total}`);
    if (seconds !== null) words.push(text.jobs.seconds(seconds));
    this.#far.textContent = words.join(", ");
    this.#error.textContent = job.state === "failed" ? job.error || this.#lastError(job) : job.error;
    this.#error.hidden = this.#error.textContent === "";
    this.#line.textContent = job.command_line;
    this.#showActions(job);
    this.#showFacts(job);
    const log = job.log.join("\n");
    if (this.#log.dataset.whole !== "yes" && this.#log.textContent !== log) {
      this.#log.textContent = log === "" ? text.jobs.nothingSaid : log;
      this.#log.scrollTop = this.#log.scrollHeight;
    }
  }

  /** What a command says last, when it fails. */
  #lastError(job: Job): string {
    return [...job.log].reverse().find((line) => line.startsWith("crystint: error: "))?.slice(17) ?? "";
  }

  #showActions(job: Job): void {
    const key = `${job.state} ${job.results.join()} ${this.#app.store.session.value.role}`;
    if (key === this.#actionsOf) return;
    this.#actionsOf = key;
    const made: HTMLElement[] = [];
    const may = this.#app.store.session.value.role === "control";
    if (isActive(job) && may) made.push(button(text.jobs.cancel, () => void this.#cancel(), { class: "danger" }));
    if (job.results.includes("peaks") || job.results.includes("table")) made.push(button(text.jobs.asOverlay, () => this.#overlay()));
    if (job.results.includes("report")) made.push(button(text.jobs.showReport, () => void this.#showReport()));
    if (job.state === "done" && job.results.includes("peaks") && may) made.push(button(text.jobs.open, () => void this.#open()));
    if (!isActive(job) && may) made.push(button(text.jobs.again, () => this.#again(job), { class: "quiet" }));
    this.#actions.replaceChildren(...made);
  }

  #showFacts(job: Job): void {
    const facts: [string, string][] = Object.entries(job.inputs).map(([name, files]) => [name, files.join(", ")]);
    const settings = Object.entries(job.settings).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
    facts.push([text.jobs.settings, settings.length === 0 ? text.jobs.defaults : settings.join(", ")]);
    if (job.state === "done") facts.push([text.jobs.outputs, job.outputs.join(", ")]);
    const words = facts.flat().join("\n");
    if (this.#facts.dataset.words === words) return;
    this.#facts.dataset.words = words;
    this.#facts.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  }

  async #copy(): Promise<void> {
    if (this.#job === null) return;
    if (await copied(this.#job.command_line)) return this.#app.tell(text.jobs.copied);
    getSelection()?.selectAllChildren(this.#line);
    this.#app.tell(text.jobs.copyYourself, "warning");
  }

  async #cancel(): Promise<void> {
    if (this.#job === null) return;
    try {
      await this.#app.api.json(`jobs/${this.#job.id}`, { method: "DELETE" });
    } catch (error) {
      this.#app.fail(error);
    }
    await jobList(this.#app).ask();
  }

  #overlay(): void {
    const job = this.#job;
    if (job === null) return;
    overlayDesk(this.#app).add(`job-${job.id}`, job.name, { from: "job", job: job.id, table: job.results.includes("table"), peaks: job.results.includes("peaks") });
    this.#app.panels.open("overlays");
  }

  async #showReport(): Promise<void> {
    if (!this.#report.hidden) {
      this.#report.hidden = true;
      return;
    }
    try {
      this.#report.textContent = (await this.#app.api.json<JobReport>(`jobs/${this.#job?.id}/report`)).text;
      this.#report.hidden = false;
    } catch (error) {
      this.#app.fail(error);
    }
  }

  async #open(): Promise<void> {
    const path = this.#job?.outputs[0];
    if (path === undefined) return;
    try {
      await openFile(this.#app, path, { apart: true });
    } catch (error) {
      this.#app.fail(error);
    }
  }

  async #wholeLog(): Promise<void> {
    try {
      const { bytes } = await this.#app.api.bytes(`jobs/${this.#job?.id}/log`, { accept: "text/plain" });
      this.#log.textContent = new TextDecoder().decode(bytes);
      this.#log.dataset.whole = "yes";
    } catch (error) {
      this.#app.fail(error);
    }
  }
}

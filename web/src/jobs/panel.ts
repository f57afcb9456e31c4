/** The panel of jobs: what runs and has run, and a form for a new one. */
import type { App } from "../app.ts";
import { button, element } from "../dom.ts";
import type { Panel } from "../panels.ts";
import { text } from "../text.ts";
import { jobList } from "./job_list.ts";
import { JobRow } from "./job_row.ts";
import { NewJob } from "./new_job.ts";

export class JobsPanel implements Panel {
  #app: App;
  #list = element("div", { class: "body job-list", role: "list", label: text.jobs.list });
  #form = element("div", { class: "body" });
  #rows = new Map<number, JobRow>();
  #new: NewJob | null = null;
  #switch: HTMLButtonElement;
  #stop: () => void;

  constructor(container: HTMLElement, app: App) {
    this.#app = app;
    this.#switch = button(text.jobs.newJob, () => this.#toggle(this.#form.hidden !== false), { set: { "aria-expanded": "false" } });
    const tools = element("div", { class: "toolbar" }, this.#switch, element("span", { class: "spacer" }), button(text.jobs.showOverlays, () => app.panels.open("overlays")));
    container.append(tools, this.#form, this.#list);
    this.#form.hidden = true;
    this.#stop = jobList(app).follow(() => this.#show());
    this.#show();
  }

  dispose(): void {
    this.#stop();
  }

  #toggle(open: boolean): void {
    this.#form.hidden = !open;
    this.#list.hidden = open;
    this.#switch.setAttribute("aria-expanded", String(open));
    this.#switch.textContent = open ? text.jobs.back : text.jobs.newJob;
    if (open) this.#form_().element.querySelector("select")?.focus();
  }

  #form_(): NewJob {
    if (this.#new === null) {
      this.#new = new NewJob(this.#app, (job) => {
        void jobList(this.#app).ask();
        this.#app.tell(text.jobs.started(job.name));
        this.#toggle(false);
      });
      this.#form.append(this.#new.element);
    }
    return this.#new;
  }

  #show(): void {
    const { jobs, asked } = jobList(this.#app);
    if (jobs.value.length === 0) {
      this.#rows.clear();
      this.#list.replaceChildren(element("p", { class: "empty" }, asked.value ? text.jobs.none : text.shell.asked));
      return;
    }
    if (this.#rows.size === 0) this.#list.replaceChildren();
    const there = new Set(jobs.value.map((job) => job.id));
    for (const [id, row] of this.#rows) {
      if (there.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    let after: HTMLElement | null = null;
    for (const job of jobs.value) {
      let row = this.#rows.get(job.id);
      if (row === undefined) {
        row = new JobRow(this.#app, (again) => {
          this.#toggle(true);
          void this.#form_().again(again);
        });
        this.#rows.set(job.id, row);
        if (after === null) this.#list.prepend(row.element);
        else after.after(row.element);
      }
      row.show(job);
      after = row.element;
    }
  }
}

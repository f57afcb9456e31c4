/** The document of regions: what the service has, what is changed here, and what becomes of both. */
import { ApiError, type Api } from "../api.ts";
import type { Applied } from "../api_types.ts";
import { Signal } from "../signal.ts";
import { text } from "../text.ts";
import {
  changed, changesOf, differences, inverse, named, overtaken, same, type Change, type Difference, type Region, type Regions,
} from "./region.ts";

/** What the service tells of a region on the detector. */
export interface Detail {
  readonly pixels: number;
  readonly clipped: boolean;
  readonly problem?: string;
}

interface Told {
  document: { rois: Region[] };
  version: number;
  revision: number;
  details: Record<string, Detail> | null;
}

/** Somebody else was faster: what was to be put is not there. */
export interface Conflict {
  readonly changes: readonly Change[];
  readonly rows: readonly Difference[];
}

/** A change that the service did not take. */
export interface Refusal {
  readonly words: string;
  /** of the region that it is about, and its field; null = of the document as a whole */
  readonly name: string | null;
  readonly field: string | null;
}

interface Step {
  /** the document it began with */
  readonly before: Regions;
  readonly changes: readonly Change[];
  /** steps with the same key that follow each other are one */
  readonly key: string | null;
}

interface Standing {
  readonly regions: Regions;
  readonly past: readonly Step[];
  readonly future: readonly Step[];
}

const MOST_STEPS = 200;
/** ms without another one, after which a row of small steps is sent */
const QUIET = 350;

export class Book {
  /** as they are shown: sent changes are taken to be accepted until the service says no */
  readonly regions = new Signal<Regions>([]);
  readonly details = new Signal<Readonly<Record<string, Detail>>>({});
  /** what the last change of this page applies from */
  readonly effect = new Signal<{ readonly image: number; readonly version: number } | null>(null);
  readonly conflict = new Signal<Conflict | null>(null);
  readonly refusal = new Signal<Refusal | null>(null);
  readonly steps = new Signal({ undo: false, redo: false }, same);
  #api: Pick<Api, "json">;
  #tell: (words: string, loudness?: "note" | "warning") => void;
  #fail: (error: unknown) => void;
  #revision: number | null = null;
  #version: number | null = null;
  #now: Standing = { regions: [], past: [], future: [] };
  #accepted: Standing = this.#now;
  #sending = false;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #holding = false;
  #asked = 0;

  constructor(
    api: Pick<Api, "json">, tell: (words: string, loudness?: "note" | "warning") => void, fail: (error: unknown) => void,
  ) {
    this.#api = api;
    this.#tell = tell;
    this.#fail = fail;
  }

  /** Of the document that is shown; null = the service was not asked yet. */
  get revision(): number | null {
    return this.#revision;
  }

  /** Of the regions that the service sums up now, as `roi_version` of the results has it. */
  get version(): number | null {
    return this.#version;
  }

  /** While something is dragged the document stays as it is: what others do meanwhile is seen when it is sent. */
  set holding(holding: boolean) {
    this.#holding = holding;
  }

  /** Something is on its way to the service, or will be. */
  get busy(): boolean {
    return this.#holding || this.#sending || this.#waiting !== undefined || this.#now !== this.#accepted;
  }

  /** The service is at this revision: get the document where it is another one. */
  async follow(revision: number): Promise<void> {
    if (revision === this.#revision || this.busy) return;
    await this.refresh();
  }

  /** Get the document, and say what somebody else changed in it. */
  async refresh(): Promise<void> {
    const asked = (this.#asked += 1);
    let told: Told;
    try {
      told = await this.#api.json<Told>("rois");
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (asked !== this.#asked || this.busy) return;
    const first = this.#revision === null;
    const rows = differences(this.#now.regions, this.#now.regions, told.document.rois);
    this.#take(told);
    if (!first && rows.length > 0) this.#tell(text.regions.changedElsewhere([...new Set(rows.map(({ name }) => name))]));
  }

  #take(told: Told): void {
    this.#revision = told.revision;
    this.#version = told.version;
    this.details.value = told.details ?? {};
    if (!same(told.document.rois, this.#now.regions)) this.#show({ ...this.#now, regions: told.document.rois });
    this.#accepted = this.#now;
  }

  #show(standing: Standing): void {
    this.#now = standing;
    this.steps.value = { undo: standing.past.length > 0, redo: standing.future.length > 0 };
    this.regions.value = standing.regions;
  }

  /** Change the document. With a key: small steps that follow each other, which are sent and undone as one. */
  edit(after: Regions, key: string | null = null): void {
    const { regions, past } = this.#now;
    if (same(regions, after)) return;
    const last = past.at(-1);
    const goesOn = key !== null && last?.key === key && same(changed(last.before, last.changes), regions);
    const before = goesOn ? last.before : regions;
    const step: Step = { before, changes: changesOf(before, after), key };
    const rest = goesOn ? past.slice(0, -1) : past;
    this.#put({ regions: after, past: [...rest, step].slice(-MOST_STEPS), future: [] }, key !== null);
  }

  /** Take the last step back; what somebody else changed since stays. */
  undo(): void {
    const { past, future } = this.#now;
    const step = past.at(-1);
    if (step === undefined) return;
    this.#turn(step.changes, { past: past.slice(0, -1), future: [...future, step] }, inverse(step.changes));
  }

  redo(): void {
    const { past, future } = this.#now;
    const step = future.at(-1);
    if (step === undefined) return;
    this.#turn(inverse(step.changes), { past: [...past, step], future: future.slice(0, -1) }, step.changes);
  }

  #turn(left: readonly Change[], steps: Omit<Standing, "regions">, changes: readonly Change[]): void {
    const { regions } = this.#now;
    const others = overtaken(regions, left);
    if (others.length > 0) {
      this.#tell(text.regions.overtaken(others), "warning");
      return;
    }
    // the key ends: a step that is done again does not grow
    const closed = { past: steps.past.map((step) => ({ ...step, key: null })), future: steps.future };
    this.#put({ ...closed, regions: changed(regions, changes) }, false);
  }

  #put(standing: Standing, later: boolean): void {
    this.#asked += 1;
    this.refusal.value = null;
    this.#show(standing);
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    if (!later) void this.#send();
    else {
      this.#waiting = setTimeout(() => {
        this.#waiting = undefined;
        void this.#send();
      }, QUIET);
    }
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#now !== this.#accepted && this.#waiting === undefined) await this.#sendOnce();
    } finally {
      this.#sending = false;
    }
  }

  async #sendOnce(): Promise<void> {
    const standing = this.#now;
    try {
      const body = { rois: standing.regions };
      const applied = await this.#api.json<Applied>("rois", { method: "PUT", body, revision: this.#revision });
      this.#accepted = standing;
      this.#revision = applied.revision;
      this.#version = applied.version;
      this.details.value = (applied.details ?? {}) as Record<string, Detail>;
      this.effect.value = { image: applied.first_image, version: applied.version };
    } catch (error) {
      await this.#refused(error);
    }
  }

  async #refused(error: unknown): Promise<void> {
    const { regions: mine } = this.#now;
    const before = this.#accepted.regions;
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    if (error instanceof ApiError && error.status === 412) {
      const changes = changesOf(before, mine);
      try {
        const told = await this.#api.json<Told>("rois");
        this.#show(this.#accepted);
        this.#take(told);
        this.conflict.value = { changes, rows: differences(before, mine, told.document.rois) };
        this.#tell(text.regions.conflict, "warning");
      } catch (failure) {
        this.#show(this.#accepted);
        this.#fail(failure);
      }
      return;
    }
    this.#show(this.#accepted);
    if (error instanceof ApiError) {
      const [, number, field] = /^rois\.(\d+)(?:\.(.*))?$/.exec(error.field ?? "") ?? [];
      // of a new name: the region as it is called
      const [put, was] = number === undefined ? [] : [mine[Number(number)], before[Number(number)]];
      const name = (named(before, put?.name ?? null) ?? was ?? put)?.name ?? null;
      this.refusal.value = { words: error.message, name, field: field ?? null };
    }
    this.#fail(error);
  }

  /** End a conflict: what was to be put is put on what is there now, or left. */
  settle(how: "mine" | "theirs"): void {
    const conflict = this.conflict.value;
    this.conflict.value = null;
    if (conflict !== null && how === "mine") this.edit(changed(this.#now.regions, conflict.changes));
  }
}

/** What the service answers about jobs. */
import type { Columns } from "../api_types.ts";
import type { Schema } from "../form.ts";

export interface OfferInput {
  name: string;
  meaning: string;
  many: boolean;
  required: boolean;
  kinds: string[];
}

export type ResultName = "peaks" | "table" | "report";

/** A command that may be asked for. */
export interface Offer {
  command: string;
  title: string;
  inputs: OfferInput[];
  outputs: string[];
  results: ResultName[];
  settings: Schema;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Job {
  id: number;
  command: string;
  name: string;
  inputs: Record<string, string[]>;
  settings: Record<string, unknown>;
  command_line: string;
  outputs: string[];
  state: JobState;
  /** ns since 1970 */
  created: number;
  began: number | null;
  ended: number | null;
  code: number | null;
  progress: { done: number; total: number; what: string } | null;
  error: string;
  results: ResultName[];
  log: string[];
}

export interface JobPeaks {
  job: number;
  image: number | null;
  frame: number[];
  spots: Columns;
}

export interface JobReport {
  job: number;
  text: string;
  numbers: unknown;
}

export function isActive(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

/** s that it has taken until now, in ms since 1970; null = it has not begun. */
export function secondsOf(job: Job, now: number): number | null {
  if (job.began === null) return null;
  return Math.max(((job.ended ?? now * 1e6) - job.began) / 1e9, 0);
}

/** From 0 to 1; null = it does not tell. */
export function shareOf(job: Job): number | null {
  if (job.state === "done") return 1;
  return job.progress === null || job.progress.total <= 0 ? null : job.progress.done / job.progress.total;
}

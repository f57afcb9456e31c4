/** The books of a series as a strip: what is drawn of the counts that the service gives. */

export const LANES = ["hit", "ok", "skipped", "failed", "missing", "late"] as const;
export type Lane = (typeof LANES)[number];

/** as StripModel of the service */
export interface StripAnswer {
  series: string | null;
  ended?: boolean;
  first: number | null;
  last: number | null;
  per: number;
  status: Record<Lane, number[]>;
  beyond?: number;
}

/** How strongly a lane is drawn in each bin: the share of the images of the bin. One image of a million is seen still. */
export function shares(counts: readonly number[], per: number, weakest = 0.4): Float32Array {
  return Float32Array.from(counts, (count) => (count === 0 ? 0 : weakest + (1 - weakest) * Math.min(count / per, 1)));
}

export function total(counts: readonly number[] | undefined): number {
  return (counts ?? []).reduce((sum, count) => sum + count, 0);
}

/** Images of a bin, half-open. */
export function imagesOf(answer: StripAnswer, bin: number): [number, number] {
  const first = (answer.first ?? 0) + bin * answer.per;
  return [first, Math.min(first + answer.per, (answer.last ?? -1) + 1)];
}

/** The bin at a share of the width; null = there is none. */
export function binAt(answer: StripAnswer, share: number): number | null {
  const bins = answer.status.ok.length;
  if (bins === 0 || share < 0 || share > 1) return null;
  return Math.min(Math.floor(share * bins), bins - 1);
}

/** A part of the images, zoomed about `about` by `factor` (below 1 = nearer), within 0 to `end`. null = all of them. */
export function zoomed(from: number, to: number, about: number, factor: number, end: number): [number, number] | null {
  const width = Math.max(Math.round((to - from) * factor), 8);
  if (width >= end) return null;
  const share = to > from ? (about - from) / (to - from) : 0.5;
  const first = Math.min(Math.max(Math.round(about - share * width), 0), end - width);
  return [first, first + width];
}

/** How large live views may be: on a slow line they have fewer blocks, so that they come ten times in a second. */

/** Blocks of a live view at most; what a line gets that nothing is known of. */
export const MOST_BLOCKS = 1_000_000;
const LEAST_BLOCKS = 30_000;
/** ms that a view may be on the line: the rest of 100 is the service's, which makes the next one when this one came */
const LONGEST = 85;
/** ms that views are made for */
const GOAL = 65;
/** bytes: smaller views are not what makes a line slow */
const LARGE = 20_000;
/** blocks of a view for a byte, about */
const BLOCKS_OF_BYTE = 2;
/** views in a row that must agree, for fewer blocks and for more */
const TURNS = 3;
const EASY_TURNS = 20;
const MOST_EASY_TURNS = 1280;

/** A view that came. */
export interface Came {
  bytes: number;
  blocks: number;
  /** px along a side of a block */
  factor: number;
  /** ms that it was on the line, with the acknowledgement before it; null = not known */
  line: number | null;
}

export class LinePace {
  /** blocks of the next view at most */
  most: number;
  #slow = 0;
  #easy = 0;
  /** ms of the shortest time on the line: half of it, at least, has nothing to do with the size of a view */
  #shortest = Infinity;
  /** easy views that it takes, more of them each time that more blocks were too many */
  #patience = EASY_TURNS;
  #grown = false;

  /** `rate`: bytes in a ms that came over the line already; null = not known. */
  constructor(rate: number | null = null) {
    this.most = rate === null ? MOST_BLOCKS : clamped(rate * GOAL * BLOCKS_OF_BYTE);
  }

  /** Whether `most` is another number now. */
  took({ bytes, blocks, factor, line }: Came): boolean {
    if (line === null) return false;
    this.#shortest = Math.min(this.#shortest, line);
    const delay = Math.min(this.#shortest, GOAL) / 2;
    const slow = line > LONGEST && bytes > LARGE;
    this.#slow = slow ? this.#slow + 1 : 0;
    if (this.#slow >= TURNS) {
      if (this.#grown) this.#patience = Math.min(2 * this.#patience, MOST_EASY_TURNS);
      this.#grown = false;
      return this.#change(Math.min((blocks * (GOAL - delay)) / (line - delay), this.most));
    }
    // what views would be with blocks that are one px smaller; where the screen needs none, nothing comes of it
    const finer = factor > 1 ? 1.05 * blocks * (factor / (factor - 1)) ** 2 : MOST_BLOCKS;
    const easy = this.most < MOST_BLOCKS && delay + ((line - delay) * finer) / blocks < LONGEST;
    this.#easy = easy ? this.#easy + 1 : 0;
    if (this.#easy < this.#patience) return false;
    this.#grown = true;
    return this.#change(Math.max(finer, this.most));
  }

  #change(most: number): boolean {
    const before = this.most;
    this.#slow = this.#easy = 0;
    this.most = clamped(most);
    return this.most !== before;
  }
}

function clamped(blocks: number): number {
  return Math.floor(Math.min(Math.max(blocks, LEAST_BLOCKS), MOST_BLOCKS));
}

/** Bytes in a ms at which the files of the page came; null = they did not come over the line, or there were few. */
export function rateOfPage(files: readonly Pick<PerformanceResourceTiming, "transferSize" | "responseStart" | "responseEnd">[]): number | null {
  const largest = files.reduce<(typeof files)[number] | null>((a, b) => (a === null || b.transferSize > a.transferSize ? b : a), null);
  if (largest === null || largest.transferSize < 50_000) return null;
  return largest.transferSize / Math.max(largest.responseEnd - largest.responseStart, 1);
}

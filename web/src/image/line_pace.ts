/** How large live views may be: on a slow line their blocks become larger until they come often enough. */

/** ms: views that come less often are too large */
const SLOW = 160;
/** bytes: smaller views are not what makes a line slow */
const LARGE = 60_000;
/** ms: after such a time it was no view that took so long */
const PAUSED = 3000;
const MOST = 4;
/** views in a row that must agree */
const TURNS = 4;
const EASY_TURNS = 60;

export class LinePace {
  /** factor of the side of a block */
  coarser = 1;
  #before = 0;
  #slow = 0;
  #easy = 0;

  /** A view of so many bytes began to be painted and was drawn. Whether `coarser` is another number now.
   *
   * The service sends the next view when the last is acknowledged. `waited`: it may have had to wait for a new image,
   * so that the time says nothing of the line. */
  took(bytes: number, began: number, drawn: number, waited: boolean): boolean {
    const between = this.#before === 0 ? 0 : began - this.#before;
    this.#before = drawn;
    if (waited || between > PAUSED) return false;
    const slow = between > SLOW;
    if (slow && bytes > LARGE) this.#slow += 1;
    else this.#slow = 0;
    this.#easy = slow ? 0 : this.#easy + 1;
    if (this.#slow >= TURNS && this.coarser < MOST) {
      this.coarser += 0.5;
      this.#slow = this.#easy = 0;
      return true;
    }
    if (this.#easy >= EASY_TURNS && this.coarser > 1) {
      this.coarser -= 0.5;
      this.#easy = 0;
      return true;
    }
    return false;
  }
}

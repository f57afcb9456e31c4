/* ring_core.h - the core of a ring, which no cycle of clipping will touch, summed up, and its tails listed.
 *
 * Defines   those of ring_pixels.h
 */
#ifndef RING_CORE_H
#define RING_CORE_H

#include "moments.h"
#include "ring_pixels.h"
#include "ring_totals.h"

#define HELD_VECTORS (LANES == 1 ? 1 : 32)

/* What a work-item has of a ring. */
typedef struct {
    Moments sum;
    int n_tails; /* more than there is room for are counted, but not listed */
    ints missing; /* lanes with a pixel that is unusable */
    float fractions; /* counts that are not whole, or below zero */
    Totals totals;
} Core;

/* Where a work-item lists the tails of a ring: at 0, LOCAL_SIZE, 2 LOCAL_SIZE, ... */
typedef struct {
    __global uint *pixel;
    __global float *above, *weight; /* s - c w, and w */
    int rounds;
} Tails;

static inline void clear_core(Core *core)
{
    clear(&core->sum);
    core->n_tails = 0;
    core->missing = 0;
    core->fractions = 0.0f;
    clear_totals(&core->totals);
}

/* Add the pixels of a segment of the ring, or of SEGMENT pixels of it. */
static inline void add_core(Core *core, const Pixels *in, const Start *start, const Tails *tails, const int first,
                            const int last)
{
    const float c = start->c, near = start->near, core_low = start->core_low;
    const float core_high = start->core_high, core_count = start->core_count;
    Moments part;
    Totals totals = core->totals;
    ints unknown = 0;
    int n = core->n_tails, n_held = 0, held_at[HELD_VECTORS];
    int held[HELD_VECTORS * LANES];
    float held_a[HELD_VECTORS * LANES];
    clear(&part);
    for (int k = first + get_local_id(0) * LANES; k < last; k += LOCAL_SIZE * LANES) {
        const floats w = FLOATS(__global const, in->weight, k);
        wides raw;
        ints known, uncounted;
        const floats a = above_at(in, w, c, k, &raw, &known, &uncounted);
        const ints inner = MASK(a >= core_low * w) & (MASK(a <= core_high * w) | MASK(a <= core_count));
        const ints real = MASK(w == w); /* NaN: padding */
        add_pixels(&part, a, w, inner, near);
        add_totals(&totals, raw, real & MASK(a == a)); /* NaN: no measurement */
        unknown |= ~known;
#if PIXEL_KIND == 2
        core->fractions += lane_sum(where(uncounted & real, (floats)1.0f));
#endif
        /* Vectors with a pixel of the tails are held back, without a branch that could not be foreseen. */
        const ints outer = known & ~inner & real;
        INTS(__private, held, n_held * LANES) = outer;
        held_at[n_held] = k;
        FLOATS(__private, held_a, n_held * LANES) = a;
        n_held += any_lane(outer) != 0;
        if (n_held == HELD_VECTORS || k + LOCAL_SIZE * LANES >= last) {
            for (int v = 0; v < n_held; v++)
                for (uint left = lane_bits(INTS(__private, held, v * LANES)); left != 0; left &= left - 1, n++) {
                    const int lane = 31 - clz(left & -left), at = n * LOCAL_SIZE;
                    totals.saturated += isnan(held_a[v * LANES + lane]);
                    if (n >= tails->rounds) continue;
                    tails->pixel[at] = in->order[held_at[v] + lane];
                    tails->above[at] = held_a[v * LANES + lane];
                    tails->weight[at] = in->weight[held_at[v] + lane];
                }
            n_held = 0;
        }
    }
    carry_totals(&totals);
    core->totals = totals;
    core->n_tails = n;
    core->missing |= unknown;
    add_block(&core->sum, &part);
}

#endif

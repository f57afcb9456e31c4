/* ring_clip.h - the cycles of clipping of a ring, from the sums over its core and the list of its tails.
 *
 * Functions that add up over the work-items are no `static inline`, see reduce.h, and return at their end alone: PoCL does not
 * build a barrier that follows a conditional return.
 *
 * Defines   POISSON_CLIP: 1: clip with the Poisson spread, 0: azimuthal; GROUP; and those of ring_pixels.h
 */
#ifndef RING_CLIP_H
#define RING_CLIP_H

#include "moments.h"
#include "ring_pixels.h"

/* A ring. All work-items hold the same, but for their tails. */
typedef struct {
    const Pixels *in;
    __global const int *segment;
    __global const float *above, *weight; /* of the tails */
    int n_tails;
    Start start;
    float mean_weight, heaviest, lightest;
    float core[MOMENTS + 4]; /* and how many work-items lack room, have unusable pixels; counts that no photons make; sum of floats */
    int whole;               /* the core is not what it was meant to be: look at all of the ring */
} Ring;

/* What clipping left. */
typedef struct {
    float n, mean, omega, omega2, vv, v;
} Clipped;

/* Sums over all pixels of a ring that are inside the limits, about the value `about`. */
static inline void add_ring(Moments *sum, const Ring *ring, const Limits limits, const float about)
{
    const Pixels *in = ring->in;
    const float c = ring->start.c;
    for (int band = 0; band < in->bands; band++) {
        Moments part;
        clear(&part);
        const int last = ring->segment[band * GROUP + 1];
        for (int k = ring->segment[band * GROUP] + get_local_id(0) * LANES; k < last; k += LOCAL_SIZE * LANES) {
            const floats w = FLOATS(__global const, in->weight, k);
            wides raw;
            ints known, uncounted;
            const floats a = above_at(in, w, c, k, &raw, &known, &uncounted);
            add_pixels(&part, a, w, inside(a, w, c, limits), about);
        }
        add_block(sum, &part);
    }
}

/* The same over its tails. */
static inline void add_tails(Moments *sum, const Ring *ring, const Limits limits, const float about)
{
    for (int i = 0; i < ring->n_tails; i += LANES) {
        const floats a = FLOATS(__global const, ring->above, i * LOCAL_SIZE);
        const floats w = FLOATS(__global const, ring->weight, i * LOCAL_SIZE);
        add_pixels(sum, a, w, inside(a, w, ring->start.c, limits), about);
    }
}

/* The sums over what is inside the limits, core and tails, or all of the ring where a limit is within the core. They are
 * about the value that is returned: the mean, or that of the core. */
float sums_within(Ring *ring, const Limits limits, const float mean, float *total, __local float *slot)
{
    const Start *start = &ring->start;
    ring->whole |= !(limits.low <= start->core_low && start->core_high <= limits.high &&
                     start->core_count <= fmax(limits.floor_count, limits.high * ring->lightest));
    const int whole = ring->whole;
    const float from = whole ? mean : start->near;
    Moments sum;
    clear(&sum);
    if (whole)
        add_ring(&sum, ring, limits, from);
    else
        add_tails(&sum, ring, limits, from);
    lane_sums(&sum, total);
    group_sums(total, MOMENTS, slot);
    if (!whole)
        for (int m = 0; m < MOMENTS; m++) total[m] += ring->core[m];
    return from;
}

/* Clip until nothing more is dropped, `cycles` times at most. */
Clipped clip_ring(Ring *ring, const float clip, const int cycles, __local float *slot)
{
    const float c = ring->start.c, near = ring->start.near;
    Limits limits = ring->start.limits;
    Clipped left = {0.0f, near, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int cycle = 0; cycle <= cycles; cycle++) {
        float total[MOMENTS], from;
        for (int again = 0; again < 2; again++) {
            from = sums_within(ring, limits, left.mean, total, slot);
            const float far = total[1] / total[2];
            if (ring->whole || !(far * far * total[3] > 64.0f * total[4])) break;
            left.mean = near + far; /* too far away for sums about `near` to be exact */
            ring->whole = 1;
        }
        if (total[0] == 0.0f) break; /* a cycle that leaves nothing is not carried out */

        const float further = total[1] / total[2];
        const int same = cycle > 0 && total[0] == left.n;
        left.n = total[0];
        left.omega = total[2];
        left.omega2 = total[3];
        left.vv = fmax(total[4] - 2.0f * further * total[5] + further * further * total[3], 0.0f);
        left.mean = from + further;
        left.v = (c + left.mean) * left.omega;
        if (same || cycle == cycles) break;

#if POISSON_CLIP
        const float std = sqrt(fmax(left.v, 0.0f) / left.omega2);
#else
        const float std = sqrt(left.vv / left.omega2);
#endif
        const float t = clip > 0.0f ? clip : chauvenet(left.n), reach = t * std, level = (c + left.mean) * ring->mean_weight;
        if (t < INFINITY) { /* one or two pixels are nothing to judge one another by */
            limits.low = fmax(limits.low, left.mean - reach);
            limits.high = fmin(limits.high, left.mean + reach);
            limits.floor_count = level < 10.0f ? reached_by_chance((c + left.mean) * ring->heaviest, left.n) : -INFINITY;
            limits.zero_stays = level < 10.0f;
        }
    }
    return left;
}

/* The excess variance. Up to 1.3 it is that of the core of the ring, within 3 std, where the feet of Bragg peaks that clipping
 * left do not reach (a Gaussian has 0.9733 of its variance there); from 1.7 on, or below 2 counts, that of all that clipping
 * left. */
float excess_variance(Ring *ring, const Clipped *left, __local float *slot)
{
    const float level = ring->start.c + left->mean, all = left->v > 0.0f ? left->vv / left->v : 1.0f;
    float excess = all;
    if (level * ring->mean_weight >= 2.0f && left->n > 0.0f && all < 1.7f) {
        const float reach = 3.0f * sqrt(left->vv / left->omega2);
        const Limits narrow = {left->mean - reach, left->mean + reach, -INFINITY, 0};
        float total[MOMENTS];
        const float further = left->mean - sums_within(ring, narrow, left->mean, total, slot);
        const float squares = total[4] - 2.0f * further * total[5] + further * further * total[3];
        const float inner = total[2] > 0.0f ? squares / (0.9733f * level * total[2]) : 1.0f;
        excess = mix(inner, all, clamp((all - 1.3f) / 0.4f, 0.0f, 1.0f));
    }
    return excess;
}

#endif

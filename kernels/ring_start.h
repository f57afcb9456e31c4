/* ring_start.h - a robust first estimate of a ring's background from a sample of its pixels, and what that says of the ring.
 *
 * Defines   POISSON_CLIP, LOCAL_SIZE; HAS_DARK (pixel.h)
 */
#ifndef RING_START_H
#define RING_START_H

#include "group_barrier.h"
#include "lanes.h"
#include "tail.h"

#define SAMPLE 128
#define CORE_LOW 2.6f    /* the core reaches from this many spreads below the level ... */
#define CORE_HIGH 2.5f   /* ... to this many above, so that it holds nothing that is picked */
#define CORE_SPREAD 0.87f /* a sample's spread may be 15 % too large; limits would then enter the core */
#define CORE_TAIL 0.01f   /* probability of counts above the core, where it ends with a count: below 2 counts */

/* Chauvenet's threshold: beyond it half a pixel of n is expected. */
static inline float chauvenet(const float n)
{
    return n < 3.0f ? INFINITY : sqrt(2.0f * log(n * 0.3989422804f));
}

/* Order statistics of a sample of SAMPLE numbers, of which the `known` lowest are measurements. */
typedef struct {
    float lowest, lower, median; /* `lower` has 16 % below it */
    int zeros;
} Order;

/* The k-th lowest number has at most k below it, and more than k not above it: it is the highest with at most k below it. */
void order_statistics(__local const float *sample, const int known, __local Order *order)
{
    const int middle = (known - 1) / 2, lower = (int)(0.16f * (known - 1));
#if LOCAL_SIZE == 1
    floats low = -INFINITY, half_way = -INFINITY;
    ints zeros = 0;
    for (int i = 0; i < SAMPLE; i += LANES) {
        const floats x = FLOATS(__local const, sample, i);
        ints below = 0;
#pragma unroll 8
        for (int j = 0; j < SAMPLE; j++) below -= MASK(sample[j] < x);
        low = below <= lower && x > low ? x : low;
        half_way = below <= middle && x > half_way ? x : half_way;
        zeros -= MASK(x == 0.0f);
    }
    int zero[LANES];
    float lowers[LANES], medians[LANES];
    INTS(__private, zero, 0) = zeros;
    FLOATS(__private, lowers, 0) = low;
    FLOATS(__private, medians, 0) = half_way;
    order->zeros = 0;
    order->lower = order->median = -INFINITY;
    for (int i = 0; i < LANES; i++) {
        order->zeros += zero[i];
        order->lower = fmax(order->lower, lowers[i]);
        order->median = fmax(order->median, medians[i]);
    }
    order->lowest = INFINITY;
    for (int i = 0; i < SAMPLE; i++) order->lowest = fmin(order->lowest, sample[i]);
#else
    for (int i = get_local_id(0); i < SAMPLE; i += LOCAL_SIZE) {
        const float one = sample[i];
        int below = 0, not_above = 0, again = 0;
        for (int j = 0; j < SAMPLE; j++) {
            below += sample[j] < one;
            not_above += sample[j] <= one;
            again |= j < i && sample[j] == one;
        }
        if (again) continue; /* of those that hold the same, the first writes */
        if (below == 0) order->lowest = one;
        if (below <= lower && lower < not_above) order->lower = one;
        if (below <= middle && middle < not_above) order->median = one;
        if (one == 0.0f) order->zeros = not_above - below;
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
#endif
}

/* What is left inside: normalized counts from low to high (less c), at most `floor_count` counts, and 0 if it stays. */
typedef struct {
    float low, high, floor_count;
    int zero_stays;
} Limits;

/* Where clipping begins. All but the counts are normalized and less c. */
typedef struct {
    float c;                              /* what is taken off all counts; 0 where they are few, and exact as they are */
    float near;                           /* what moments are taken about: the level, or 0 where counts are so few */
    float core_low, core_high, core_count; /* what is between, or not above the count, is the core */
    Limits limits;
} Start;

/* `whole`: whether the sample's raw counts are whole numbers. */
static inline Start robust_start(const Order order, const int known, const int whole, const float n, const float mean_weight,
                                 const float heaviest, const float lightest, const float clip, const int cycles)
{
    float level = order.median, most = level, spread, core; /* `most`: highest level that the sample allows */
    if (order.median == 0.0f && order.lowest == 0.0f) {
        const float rate = -log(order.zeros / (known + 1.0f));
        level = rate / mean_weight;
        most = (rate + 2.0f * sqrt(rate / known) + 2.0f / known) / mean_weight;
        core = spread = sqrt(most / mean_weight);
    } else {
        spread = sqrt(fmax(level, 0.0f) / mean_weight);
        /* Whole counts have steps of one, which matter about zero. */
        if (HAS_DARK || (whole && order.lowest < 0.0f)) spread = fmax(spread, 1.0f / mean_weight);
        core = spread;
#if !POISSON_CLIP
        core = fmax(core, CORE_SPREAD * (level - order.lower));
        spread = fmax(spread, level - order.lower);
#endif
    }
    spread = fmax(spread, 1e-6f * fabs(level)); /* the level itself is always inside */
    core = fmax(core, 1e-6f * fabs(level));

    const float threshold = clip > 0.0f ? clip : chauvenet(n);
    const float wide = fmax(1.5f * threshold, 3.0f), part = 0.65f * threshold;
    const int clipped = cycles > 0 && isfinite(wide), few = most * mean_weight < 10.0f;
    Start start;
    start.c = fabs(level) * fmax(mean_weight, 1.0f) < 16.0f ? 0.0f : level;
    const float middle = level - start.c;
    start.near = level * mean_weight < 2.0f && start.c == 0.0f ? 0.0f : middle;
    start.core_low = middle - fmin(CORE_LOW, part) * core;
    start.core_high = middle + fmin(CORE_HIGH, part) * core;
    start.limits.low = clipped ? middle - wide * spread : -INFINITY;
    start.limits.high = clipped ? fmax(level, most) - start.c + wide * spread : INFINITY;
    start.limits.floor_count = few ? reached_by_chance(most * heaviest, n) : -INFINITY;
    start.limits.zero_stays = level * mean_weight < 10.0f;
    start.core_count = -INFINITY;
    if (level * mean_weight < 2.0f && start.c == 0.0f)
        start.core_count = fmin(reached_by_chance(level * lightest, REACHED / CORE_TAIL), start.limits.floor_count);
    return start;
}

#endif

/* redraw.h - counts of background pixels that no separation picks.
 *
 * Defines   PIXEL_KIND, NEGATIVE (pixel.h); CURVE_* (significance.h); POISSON_*, KNOTS (random.h); FRACTIONS: 1 where frames hold
 *           fractions of counts
 */
#ifndef REDRAW_H
#define REDRAW_H

#include "random.h"
#include "significance.h"

#define TRIALS 16

/* Fractions of counts are drawn from the normal law, unless the frame cannot hold what that draws below zero. */
#define NORMAL_LAW (FRACTIONS && (PIXEL_KIND == 2 || NEGATIVE))

/* Counts as they will be read from the frame, dark subtracted, and the highest such below a limit. */
#if PIXEL_KIND == 2
#define AS_READ(counts, dark) (counts)
#define BELOW(limit, dark) (limit)
#else
#define AS_READ(counts, dark) (rint((counts) + (dark)) - (dark))
#define BELOW(limit, dark) (floor((limit) + (dark)) - (dark))
#endif

/* What counts are drawn from and judged by; as the parameters of densify_noisy.cl. */
typedef struct {
    __global const float4 *table, *lowest;
    __global const float *curve;
    __global const uint *laws;
    __global const float *knots;
    int rings;
    float k, noise2;
    ulong seed;
    uint number;
} Noise;

/* Means that Poisson numbers are drawn about; neither argument is below 0. */
INLINE floats drawn_means(const floats expected, const floats excess, const uints bits)
{
    const uints others = more_bits(bits);
    if (any_lane(MASK(3.0f * excess > expected * expected))) return modulated(expected, excess, others);
    return slightly_modulated(expected, excess, others);
}

/* Counts of these means and excess variances. */
INLINE floats drawn(const Noise *noise, const floats expected, const floats excess, const uints bits)
{
#if NORMAL_LAW
    const float rounding = PIXEL_KIND == 2 ? 0.0f : 1.0f / 12.0f; /* the variance that it will add */
    const floats none = 0.0f, variance = expected + excess - rounding;
    return expected + sqrt(HIGHER(variance, none)) * normal_numbers(bits, noise->knots);
#else
    const floats none = 0.0f, end = POISSON_MOST, mean = drawn_means(HIGHER(expected, none), HIGHER(excess, none), bits);
    const floats counts = poisson_from_table(LOWER(mean, end), bits, noise->laws);
    const ints many = MASK(mean > POISSON_MOST);
    return any_lane(many) ? (many ? poisson_of_many(mean, bits, noise->knots) : counts) : counts;
#endif
}

/* Counts of one pixel, ended where the lowest threshold is. `most`: the threshold of the background. */
static inline float ended(const Noise *noise, const float place, const float w, const float zero, const float expected,
                          const float most, const float counts)
{
    const float4 at_least = background_at(noise->lowest, noise->rings, place);
    const float least = significant_counts(at_least, w, noise->noise2, noise->k, noise->curve);
    if (noise->lowest[ring_at(place, noise->rings)].w > 1.5f || counts > most) return AS_READ(expected, zero);
    return counts > least ? BELOW(least, zero) : counts;
}

/* Counts to put in place of those that may be above the threshold, LANES of a part of the block from pixel `first` on.
 * `again`: mask of these; `zero`: dark counts. Not inlined: few blocks get here. */
static __attribute__((noinline)) floats below_the_threshold(const Noise *noise, const uint first, const int part,
                                                            const ints again, const floats place, const floats w,
                                                            const floats zero, const floats expected, const floats excess,
                                                            floats counts)
{
    int above[LANES];
    float at[LANES], weight[LANES], dark[LANES], mean[LANES], most[LANES], one[LANES];
    INTS(__private, above, 0) = again;
    FLOATS(__private, at, 0) = place;
    FLOATS(__private, weight, 0) = w;
    FLOATS(__private, dark, 0) = zero;
    FLOATS(__private, mean, 0) = expected;
    for (int i = 0; i < LANES; i++) {
        const float4 ring = background_at(noise->table, noise->rings, above[i] ? at[i] : 0.0f);
        most[i] = above[i] ? significant_counts(ring, weight[i], noise->noise2, noise->k, noise->curve) : INFINITY;
    }
    const floats limit = FLOATS(__private, most, 0);
    for (int trial = 1; trial <= TRIALS && any_lane(MASK(counts > limit)); trial++) {
        uints bits[PARTS];
        loose_bits(first, noise->number, trial, noise->seed, bits);
        const floats others = drawn(noise, expected, excess, bits[part]);
        counts = counts > limit ? AS_READ(others, zero) : counts;
    }
    FLOATS(__private, one, 0) = counts;
    for (int i = 0; i < LANES; i++)
        if (above[i]) one[i] = ended(noise, at[i], weight[i], dark[i], mean[i], most[i], one[i]);
    return FLOATS(__private, one, 0);
}

#endif

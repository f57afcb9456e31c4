/* redraw.h - counts of a background pixel that no separation picks.
 *
 * Defines   PIXEL_KIND, NEGATIVE (pixel.h); CURVE_* (significance.h); POISSON_*, KNOTS (random.h)
 */
#ifndef REDRAW_H
#define REDRAW_H

#include "random.h"
#include "significance.h"
#include "strip.h"

#define TRIALS 16

/* Counts as they will be read from the frame, dark subtracted, and the highest such below a limit. */
#if PIXEL_KIND == 2
#define AS_READ(counts, dark) (counts)
#define BELOW(limit, dark) (limit)
#else
#define AS_READ(counts, dark) (rint((counts) + (dark)) - (dark))
#define BELOW(limit, dark) (floor((limit) + (dark)) - (dark))
#endif

/* Counts of a pixel of this mean and excess variance. */
static inline float drawn(const float expected, const float excess, const float fractions, const uint bits,
                          __global const uint *laws, __global const float *knots)
{
#if PIXEL_KIND == 2 || NEGATIVE
    const float rounding = NEGATIVE ? 1.0f / 12.0f : 0.0f; /* the variance that it will add */
    if (fractions > 0.5f) return expected + sqrt(fmax(expected + excess - rounding, 0.0f)) * normal_number(bits, knots);
#endif
    const float most = HIGHER(expected, 0.0f), mean = modulated(most, HIGHER(excess, 0.0f), more_bits(bits));
    return mean <= POISSON_MOST ? (float)poisson_from_table(mean, bits, laws) : poisson_of_many(mean, bits, knots);
}

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
} Redraw;

/* Counts to put in place of some that may be above the threshold. `zero`: dark counts of the pixel. */
static inline float below_the_threshold(const Redraw *noise, const uint pixel, const uint ring, const float place,
                                        const float w, const float zero, const float expected, const float excess,
                                        float counts)
{
    const int rings = noise->rings;
    const float4 here = background_at(noise->table, rings, place), at_least = background_at(noise->lowest, rings, place);
    const float most = significant_counts(here, w, noise->noise2, noise->k, noise->curve);
    const float least = significant_counts(at_least, w, noise->noise2, noise->k, noise->curve);
    if (noise->lowest[ring].w > 1.5f) return AS_READ(expected, zero);
    for (int trial = 1; trial <= TRIALS && counts > most; trial++) {
        const uint bits = pixel_bits(pixel, noise->number, trial, noise->seed);
        counts = AS_READ(drawn(expected, excess, noise->table[ring].w, bits, noise->laws, noise->knots), zero);
    }
    if (counts > most) counts = AS_READ(expected, zero);
    return counts > least ? BELOW(least, zero) : counts;
}

#endif

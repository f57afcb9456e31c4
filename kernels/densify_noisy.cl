/* densify_noisy.cl - the background of a whole frame with the noise of counting.
 *
 * What      every pixel becomes counts drawn about those expected: Poisson counts whose mean is modulated so that the variance is
 *           that of the ring. Counts above the picking threshold are drawn again, and what then is above the lowest threshold that
 *           a new separation may find is lowered to that.
 * Launch    one work-item per LANES * STRIPS consecutive pixels, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           halves   [2 rings] for the inner and the outer half of each ring: mean at its centre, change of the mean per ring,
 *                              c of the excess variance c lambda, a of counts a w below all limits (a < 0: -a, and a count of
 *                              1 may be above them; a = -inf: nothing is below); NaN = no background
 *           table    [rings]   (mean, phi, spread that is not counting, fractions) of each ring
 *           rings              number of them
 *           lowest   [rings]   the same as a new separation finds them at least; last column 2: the ring gets no noise
 *           curve, k, noise2   of SNR_pick (significance.h)
 *           laws, knots        random.h
 *           marker             what a masked pixel becomes
 *           largest            largest count that may be written
 *           seed, number       seed of the noise, number of the frame
 *           pixels             number of pixels
 * Out       frame    [pixels]  PIXEL_T
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); POISSON_*, KNOTS (random.h); OTHER: 0 where no
 *           ring has a spread that is not counting; LANES: 1 or a multiple of 32, pixels worked on side by side; STRIPS
 * Exact     noise depends on seed, frame number and pixel number alone
 * Limits    pixels < 2^32
 * Method    Poisson counts at low means as the data have them; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#define COLUMNS 4
#include "strip.h"
#include "random.h"
#include "redraw.h"

/* Counts of a pixel that need no closer look. */
#define SURE(a, w) ((a) < 0.0f ? ((a) < -FLT_MAX ? -1.0f : -(a) * (w)) : HIGHER((a) * (w), 1.0f))

__kernel void densify_noisy(__global const float *position,
                            __global const float *weight,
                            __global const float *dark,
                            __global const float4 *halves,
                            __global const float4 *table,
                            const int rings,
                            __global const float4 *lowest,
                            __global const float *curve,
                            const float k,
                            const float noise2,
                            __global const uint *laws,
                            __global const float *knots,
                            const PIXEL_T marker,
                            const PIXEL_T largest,
                            const ulong seed,
                            const uint number,
                            const uint pixels,
                            __global PIXEL_T *frame)
{
    const Redraw noise = {table, lowest, curve, laws, knots, rings, k, noise2, seed, number};
    const uint begin = get_global_id(0) * (LANES * STRIPS);
    const uint end = min(pixels, begin + LANES * STRIPS);
    for (uint first = begin; first < end; first += LANES) {
        float place[LANES], w[LANES], expected[LANES], counts[LANES], excess[LANES], mean[LANES];
        float column[COLUMNS][LANES] __attribute__((aligned(32)));
        uint half_ring[LANES], bits[LANES];
        load_strip(position, first, pixels, place);
        load_strip(weight, first, pixels, w);
        half_rings(place, rings, half_ring);
        load_columns(halves, half_ring, column);
        expected_counts(place, w, half_ring, column, expected);
        strip_bits(first, number, seed, bits);

        /* The usual case for all, without branches: whole counts, a mean within the table. */
        int unusual = 0, wide = 0, high = 0;
        for (int i = 0; i < LANES; i++) {
#if OTHER
            const float other = table[half_ring[i] >> 1].z * w[i];
            excess[i] = column[2][i] * expected[i] + other * other;
#else
            excess[i] = column[2][i] * expected[i];
#endif
            const float most = HIGHER(expected[i], 0.0f), more = HIGHER(excess[i], 0.0f);
            wide |= 3.0f * more > most * most;
            mean[i] = slightly_modulated(most, more, more_bits(bits[i]));
        }
        if (wide) {
            for (int i = 0; i < LANES; i++)
                mean[i] = modulated(HIGHER(expected[i], 0.0f), HIGHER(excess[i], 0.0f), more_bits(bits[i]));
        }
        for (int i = 0; i < LANES; i++) {
            unusual |= mean[i] > POISSON_MOST;
            mean[i] = LOWER(mean[i], POISSON_MOST);
        }
        for (int i = 0; i < LANES; i++) counts[i] = poisson_from_table(mean[i], bits[i], laws);
        for (int i = 0; i < LANES; i++) high |= counts[i] > SURE(column[3][i], w[i]);
#if PIXEL_KIND == 2 || NEGATIVE
        for (int i = 0; i < LANES; i++) unusual |= table[half_ring[i] >> 1].w > 0.5f;
#endif
        if (unusual) {
            for (int i = 0; i < LANES; i++)
                counts[i] = drawn(expected[i], excess[i], table[half_ring[i] >> 1].w, bits[i], laws, knots);
        }
#if HAS_DARK
        for (int i = 0; i < LANES; i++) counts[i] = AS_READ(counts[i], dark[min(first + i, pixels - 1)]);
#elif NEGATIVE
        for (int i = 0; i < LANES; i++) counts[i] = AS_READ(counts[i], 0.0f);
#endif
        if (unusual || HAS_DARK) {
            high = 0;
            for (int i = 0; i < LANES; i++) high |= counts[i] > SURE(column[3][i], w[i]);
        }
        if (high) {
            for (int i = 0; i < LANES; i++) {
                if (!(counts[i] > SURE(column[3][i], w[i])) || place[i] != place[i]) continue;
                const float zero = HAS_DARK ? dark[first + i] : 0.0f;
                counts[i] = below_the_threshold(&noise, first + i, half_ring[i] >> 1, place[i], w[i], zero, expected[i], excess[i], counts[i]);
            }
        }
#if HAS_DARK
        for (int i = 0; i < LANES; i++) counts[i] += dark[min(first + i, pixels - 1)];
#endif
        store_strip(frame, first, pixels, counts, expected, marker, largest, !HAS_DARK);
    }
}

/* densify_noisy.cl - the background of a whole frame with the noise of counting.
 *
 * What      every pixel becomes counts drawn about those expected: Poisson counts whose mean is modulated so that the variance is
 *           that of the ring. Counts above the picking threshold are drawn again, and what then is above the lowest threshold that
 *           a new separation may find is lowered to that.
 * Launch    one work-item per STRIP consecutive pixels, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           halves   [2 rings] for the inner and the outer half of each ring: mean at its centre, change of the mean per ring, NaN =
 *                              no background; c of the excess variance c lambda; a of counts a w below all limits, the last bit of
 *                              which tells whether a count of 1 is below them, too; NaN = nothing is below
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
 *           ring has a spread that is not counting; FRACTIONS (redraw.h); LANES: 1 or 8, pixels worked on side by side; STRIP: 1, or
 *           a multiple of 32
 * Exact     noise depends on seed, frame number and pixel number alone
 * Limits    pixels < 2^32
 * Method    Poisson counts at low means as the data have them; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#include "redraw.h"

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
    const Noise noise = {table, lowest, curve, laws, knots, rings, k, noise2, seed, number};
    const uint begin = get_global_id(0) * STRIP;
    const uint end = min(pixels, begin + STRIP);
    for (uint block = begin; block < end; block += BLOCK) {
        floats place[PARTS], w[PARTS], expected[PARTS], excess[PARTS], sure[PARTS], counts[PARTS];
        ints half_ring[PARTS], many = 0, again[PARTS], some = 0;
        uints bits[PARTS];
        number_t o[BLOCK];
        const uint start = IN_FRAME(block, pixels);
        if (start == block)
            block_bits(block, number, 0, seed, bits);
        else
            loose_bits(start, number, 0, seed, bits);
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            place[part] = FLOATS(__global const, position, start + part * LANES);
            half_ring[part] = half_rings(place[part], rings);
            PUT_NUMBERS(o + part * LANES, 2 * half_ring[part]);
        }
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            floats mean, step, c, a;
            w[part] = FLOATS(__global const, weight, start + part * LANES);
            columns_of_4(halves, o + part * LANES, &mean, &step, &c, &a);
            expected[part] = expected_counts(mean, step, half_ring[part], place[part], w[part]);
            excess[part] = c * expected[part];
            const floats below = a * w[part], one = TO_FLOATS(AS_INTS(a) & 1);
            sure[part] = one > below ? one : below;
        }
#if OTHER
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            PUT_NUMBERS(o + part * LANES, 4 * (half_ring[part] >> 1) + 2);
            const floats other = ENTRIES(float, (__global const float *)table, o + part * LANES) * w[part];
            excess[part] += other * other;
        }
#endif
#if NORMAL_LAW
#pragma unroll
        for (int part = 0; part < PARTS; part++) counts[part] = drawn(&noise, expected[part], excess[part], bits[part]);
#else
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const floats none = 0.0f, least = HIGHER(expected[part], none), more = HIGHER(excess[part], none), most = POISSON_MOST;
            const floats mean = drawn_means(least, more, bits[part]);
            many |= MASK(mean > most);
            PUT_NUMBERS(o + part * LANES, law_number(LOWER(mean, most), bits[part]));
        }
#pragma unroll
        for (int part = 0; part < PARTS; part++) counts[part] = counts_of_law(ENTRIES(uint, laws, o + part * LANES), bits[part]);
        if (any_lane(many)) {
            for (int part = 0; part < PARTS; part++) counts[part] = drawn(&noise, expected[part], excess[part], bits[part]);
        }
#endif
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#if HAS_DARK
            const floats zero = FLOATS(__global const, dark, start + part * LANES);
            counts[part] = AS_READ(counts[part], zero);
#elif NEGATIVE
            counts[part] = AS_READ(counts[part], 0.0f);
#endif
            again[part] = MASK(!(counts[part] <= sure[part])) & MASK(place[part] == place[part]);
            some |= again[part];
        }
        for (int part = 0; part < PARTS && any_lane(some); part++) {
            if (!any_lane(again[part])) continue;
#if HAS_DARK
            const floats zero = FLOATS(__global const, dark, start + part * LANES);
#else
            const floats zero = 0.0f;
#endif
            counts[part] = below_the_threshold(&noise, start, part, again[part], place[part], w[part], zero, expected[part],
                                               excess[part], counts[part]);
        }
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const uint first = start + part * LANES;
#if HAS_DARK
            counts[part] += FLOATS(__global const, dark, first);
#endif
            put_values(frame, first, block, values_of(counts[part], expected[part], marker, largest, !HAS_DARK));
        }
    }
}

/* densify_clean.cl - the background of a whole frame, as it is expected.
 *
 * What      every pixel becomes its expected counts, rounded in integer frames
 * Launch    one work-item per STRIP consecutive pixels, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           halves   [2 rings] for the inner and the outer half of each ring: mean at its centre, change of the mean per ring;
 *                              NaN = no background
 *           rings              number of them
 *           marker             what a masked pixel becomes
 *           largest            largest count that may be written
 *           pixels             number of pixels
 * Out       frame    [pixels]  PIXEL_T
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); LANES: 1 or 8, pixels worked on side by side; STRIP: a multiple of it
 * Exact     float32
 * Limits    pixels < 2^32
 * Method    linear between ring centres; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#include "strip.h"

__kernel void densify_clean(__global const float *position,
                            __global const float *weight,
                            __global const float *dark,
                            __global const float2 *halves,
                            const int rings,
                            const PIXEL_T marker,
                            const PIXEL_T largest,
                            const uint pixels,
                            __global PIXEL_T *frame)
{
    const uint begin = get_global_id(0) * STRIP;
    const uint end = min(pixels, begin + STRIP);
    for (uint block = begin; block < end; block += BLOCK) {
        const uint start = IN_FRAME(block, pixels);
        floats place[PARTS];
        ints half_ring[PARTS];
        number_t o[BLOCK];
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            place[part] = FLOATS(__global const, position, start + part * LANES);
            half_ring[part] = half_rings(place[part], rings);
            PUT_NUMBERS(o + part * LANES, half_ring[part]);
        }
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const uint first = start + part * LANES;
            const floats w = FLOATS(__global const, weight, first);
            floats mean, step;
            columns_of_2(halves, o + part * LANES, &mean, &step);
            const floats expected = expected_counts(mean, step, half_ring[part], place[part], w);
            floats counts = expected;
#if HAS_DARK
            counts += FLOATS(__global const, dark, first);
#endif
            put_values(frame, first, block, values_of(counts, expected, marker, largest, 0));
        }
    }
}

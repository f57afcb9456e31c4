/* densify_clean.cl - the background of a whole frame, as it is expected.
 *
 * What      every pixel becomes its expected counts, rounded in integer frames
 * Launch    one work-item per LANES * STRIPS consecutive pixels, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           halves   [2 rings] for the inner and the outer half of each ring: mean at its centre, change of the mean per ring;
 *                              NaN = no background. The other two columns are for densify_noisy.cl
 *           rings              number of them
 *           marker             what a masked pixel becomes
 *           largest            largest count that may be written
 *           pixels             number of pixels
 * Out       frame    [pixels]  PIXEL_T
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); LANES: 1 or a multiple of 8, pixels worked on side by side; STRIPS
 * Exact     float32
 * Limits    pixels < 2^32
 * Method    linear between ring centres; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#define COLUMNS 2
#include "strip.h"

__kernel void densify_clean(__global const float *position,
                            __global const float *weight,
                            __global const float *dark,
                            __global const float4 *halves,
                            const int rings,
                            const PIXEL_T marker,
                            const PIXEL_T largest,
                            const uint pixels,
                            __global PIXEL_T *frame)
{
    const uint begin = get_global_id(0) * (LANES * STRIPS);
    const uint end = min(pixels, begin + LANES * STRIPS);
    for (uint first = begin; first < end; first += LANES) {
        float place[LANES], w[LANES], expected[LANES], counts[LANES];
        float column[COLUMNS][LANES] __attribute__((aligned(32)));
        uint half_ring[LANES];
        load_strip(position, first, pixels, place);
        load_strip(weight, first, pixels, w);
        half_rings(place, rings, half_ring);
        load_columns(halves, half_ring, column);
        expected_counts(place, w, half_ring, column, expected);
        for (int i = 0; i < LANES; i++) counts[i] = expected[i];
#if HAS_DARK
        for (int i = 0; i < LANES; i++) counts[i] += dark[min(first + i, pixels - 1)];
#endif
        store_strip(frame, first, pixels, counts, expected, marker, largest, 0);
    }
}

/* find_listed_maxima.cl - the pixels of a frame that are peaks, among those that pick_stream.cl listed at SNR_peak.
 *
 * What      the same as find_maxima.cl, block by block in storage order
 * Launch    one work-group of one work-item per block
 * In        frame      [pixels]  raw counts, PIXEL_T
 *           position, weight, dark [pixels]  place between ring centres, NaN = masked; normalization; dark counts (HAS_DARK)
 *           table      [rings]   (mean, phi, spread that is not counting, fractions) of each ring
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           noise2, saturation   as pick_stream.cl
 *           connected            least number of pixels above SNR_pick in the neighbourhood
 *           rings; height, width of the frame
 *           list       [blocks * BLOCK]  pixels above SNR_peak; block b starts at b * BLOCK
 *           length     [blocks]          how many
 *           capacity             of the list of maxima
 * Out       maxima     [capacity]      those of them that are peaks, in no order, as many as there is capacity for
 *           state      [STATE]         added to [MAXIMA]: how many (spot_share.h)
 *           list                       of no use afterwards
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); BLOCK; REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5
 * Exact     raw counts are compared as they are; lists are complete
 * Limits    height * width < 2^31
 * Method    as find_maxima.cl
 * Oracle    tests/oracles/peaks.py
 */
#include "maximum.h"
#include "spot_share.h"

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void find_listed_maxima(__global const PIXEL_T *frame,
                        __global const float *position,
                        __global const float *weight,
                        __global const float *dark,
                        __global const float4 *table,
                        const int rings,
                        __global const float2 *pick_reach,
                        __global const float *pick_curve,
                        const float pick_k,
                        const float noise2,
                        const PIXEL_T saturation,
                        const int connected,
                        const int height,
                        const int width,
                        __global uint *list,
                        __global const uint *length,
                        const int capacity,
                        __global uint *maxima,
                        __global uint *state)
{
    const uint block = get_group_id(0), n = length[block];
    const int pixels = height * width;
    const Maximum in = {frame, position, weight, dark, table, pick_reach, pick_curve, rings, height, width, saturation, noise2, pick_k};
    uint peaks = 0;
    list += (size_t)block * BLOCK;
    for (uint i = 0; i < n; i++) { /* the rows above and below: loads that do not wait for one another */
        TOUCH_LINE(PIXEL_T, frame, max((int)list[i] - width, 0));
        TOUCH_LINE(PIXEL_T, frame, min((int)list[i] + width, pixels - 1));
    }
    for (uint i = 0; i < n; i++) {
        const uint pixel = list[i];
        if (is_highest(&in, pixel) && !isnan(background_at(table, rings, position[pixel]).x) && pixels_above(&in, pixel) >= connected)
            list[peaks++] = pixel;
    }
    if (peaks == 0) return;
    const uint first = atomic_add(&state[MAXIMA], peaks);
    for (uint i = 0; i < peaks; i++)
        if (first + i < (uint)capacity) maxima[first + i] = list[i];
}

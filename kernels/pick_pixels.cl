/* pick_pixels.cl - the pixels of a frame that are significantly above their background, and those that are unusable.
 *
 * What      reads the frame once, in blocks of consecutive pixels; each block lists its own pixels in order
 * Launch    one work-group of LOCAL_SIZE per BLOCK pixels
 * In        frame    [pixels]   raw counts, PIXEL_T
 *           position [pixels]   place between ring centres, NaN = masked
 *           weight   [pixels]   normalization w
 *           dark     [pixels]   dark counts (HAS_DARK)
 *           table    [RINGS]    (mean, phi, spread that is not counting, fractions) of each ring
 *           curve               significance.h
 *           k, noise2           threshold in sigma; constant variance, counts^2
 *           reach    [RINGS]    normalized counts below which no pixel of the ring is significant
 *           saturation          largest valid raw value; above it a pixel is signal without a test
 *           pixels              number of pixels
 * Out       picked   [blocks * BLOCK]  pixel numbers; block b starts at b * BLOCK
 *           unusable [blocks * BLOCK]  likewise: not masked, but no measurement in this frame
 *           length   [blocks][2]       how many of each
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); RINGS, CURVE_* (significance.h); BLOCK; LOCAL_SIZE
 * Exact     thresholds agree with float64 to 1e-5 relative; lists are complete, ascending and the same on every run
 * Limits    pixels < 2^32
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "pixel.h"
#include "select.h"
#include "significance.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void pick_pixels(__global const PIXEL_T *frame,
                 __global const float *position,
                 __global const float *weight,
                 __global const float *dark,
                 __global const float4 *table,
                 __global const float *curve,
                 const float k,
                 __global const float *reach,
                 const float noise2,
                 const PIXEL_T saturation,
                 const uint pixels,
                 __global uint *picked,
                 __global uint *unusable,
                 __global uint *length)
{
    __local uint scan[LOCAL_SIZE];
    const uint block = get_group_id(0), first = block * BLOCK, last = min(pixels, first + BLOCK);
    uint n_picked = 0, n_unusable = 0;
    for (uint strip = first; strip < last; strip += LOCAL_SIZE) {
        const uint pixel = strip + get_local_id(0);
        int pick = 0, lost = 0;
        if (pixel < last && !isnan(position[pixel])) {
            const PIXEL_T raw = frame[pixel];
            lost = !usable(raw);
            if (!lost) {
                const float s = COUNTS(raw, dark, pixel), w = weight[pixel];
                if (raw > saturation)
                    pick = 1;
                else if (may_be_significant(s, position[pixel], w, reach)) {
                    const float4 ring = background_at(table, position[pixel]);
                    pick = s > significant_counts(ring, w, noise2, k, curve);
                }
            }
        }
        n_picked = append(pick, pixel, picked + first, n_picked, scan);
        n_unusable = append(lost, pixel, unusable + first, n_unusable, scan);
    }
    if (get_local_id(0) == 0) {
        length[2 * block] = n_picked;
        length[2 * block + 1] = n_unusable;
    }
}

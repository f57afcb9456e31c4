/* find_maxima.cl - the pixels of a frame that are peaks.
 *
 * What      a pixel is a peak when it has the most counts of its neighbourhood (of equals the one with the lowest
 *           number), is at or above SNR_peak, and at least `connected` pixels of the neighbourhood, itself included,
 *           are above SNR_pick
 * Launch    one work-group of LOCAL_SIZE per ring; second dimension: one frame after the other
 * In        frame, position, order, segment, room, tail_pixel, tail_above, tail_weight, tails, cover, sums, table, noise2,
 *           saturation, pixels: as pick_pixels.cl
 *           ring_weight [padded]         `weight` of pick_pixels.cl
 *           weight, dark [pixels]        of each pixel
 *           reach, curve, k              of SNR_peak
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           connected
 *           height, width                of the frame
 * Out       maxima [frames][pixels]  pixel numbers, in no order
 *           state  [frames][STATE]   added to [MAXIMA]: how many (spot_share.h)
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); GROUP; LOCAL_SIZE;
 *           REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5
 * Exact     raw counts are compared as they are, so equal counts are equal; lists are complete
 * Limits    height * width < 2^31. Masked and unusable neighbours are passed over; the border is no border.
 * Method    seed of the definitions: Kieffer (2025), J. Appl. Cryst. 58, 138; two thresholds, ties and borders as in docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#include "pixel.h"
#include "candidates.h"
#include "maximum.h"
#include "spot_share.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void find_maxima(__global const PIXEL_T *frame,
                 __global const float *position,
                 __global const int *order,
                 __global const int *segment,
                 __global const float *ring_weight,
                 __global const float *weight,
                 __global const float *dark,
                 __global const int *room,
                 __global const uint *tail_pixel,
                 __global const float *tail_above,
                 __global const float *tail_weight,
                 __global const int *tails,
                 __global const float *cover,
                 __global const float *sums,
                 __global const float4 *table,
                 const int rings,
                 const int bands,
                 __global const float2 *reach,
                 __global const float *curve,
                 const float k,
                 __global const float2 *pick_reach,
                 __global const float *pick_curve,
                 const float pick_k,
                 const float noise2,
                 const PIXEL_T saturation,
                 const int connected,
                 const int height,
                 const int width,
                 __global uint *maxima,
                 __global uint *state)
{
    const int ring = get_group_id(0), number = get_group_id(1);
    const uint pixels = (uint)height * (uint)width;
    frame += (size_t)number * pixels;
    table += number * rings;
    reach += number * rings;
    pick_reach += number * rings;
    const float enough = reach[ring].x;
    Candidates all = candidates_of(ring, rings, bands, number, order, segment, ring_weight, room, tail_pixel, tail_above, tail_weight, tails, cover,
                                   sums, enough);
    Found found;
    found.list = maxima + (size_t)number * pixels;
    found.count = state + STATE * number + MAXIMA;
    found.n = 0;
    Batch batch;
    while (next_batch(&batch, &all, frame)) {
        for (int i = 0; i < batch.n; i++) { /* the rows above and below */
            TOUCH_LINE(PIXEL_T, frame, max((int)batch.pixel[i] - width, 0));
            TOUCH_LINE(PIXEL_T, frame, min((int)batch.pixel[i] + width, (int)pixels - 1));
        }
        for (int n = 0; n < batch.n; n++) {
            const uint pixel = batch.pixel[n];
            const float w = batch.w[n];
            const PIXEL_T top = batch.raw[n];
            if (!usable(top)) continue;
            const float s = COUNTS(top, dark, pixel);
            if (top <= saturation && !(s > enough * w)) continue;
            const Maximum here = {frame, position, weight, dark, table, pick_reach, pick_curve, rings, height, width, saturation,
                                  noise2, pick_k};
            if (!is_highest(&here, pixel)) continue;
            const float4 ring_here = background_at(table, rings, position[pixel]);
            if (isnan(ring_here.x)) continue;
            if (top <= saturation && !(s >= significant_counts(ring_here, w, noise2, k, curve))) continue;
            if (pixels_above(&here, pixel) >= connected) add_found(&found, pixel);
        }
    }
    write_found(&found);
}

/* find_maxima.cl - the pixels of a frame that are peaks.
 *
 * What      a pixel is a peak when it has the most counts of its neighbourhood (of equals the one with the lowest
 *           number), is at or above SNR_peak, and at least `connected` pixels of the neighbourhood, itself included,
 *           are above SNR_pick
 * Launch    one work-group of LOCAL_SIZE per BLOCK pixels
 * In        frame, position, weight, dark, table, saturation, noise2: as pick_pixels.cl
 *           curve, k, reach              of SNR_peak; reach as in pick_pixels.cl
 *           pick_curve, pick_k           of SNR_pick
 *           connected
 *           height, width                of the frame
 * Out       maxima [blocks * BLOCK]  pixel numbers; block b starts at b * BLOCK
 *           length [blocks]          how many
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); RINGS, CURVE_* (significance.h); BLOCK; LOCAL_SIZE;
 *           REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5
 * Exact     raw counts are compared as they are, so equal counts are equal; lists are ascending and complete
 * Limits    height * width < 2^32. Masked and unusable neighbours are passed over; the border is no border.
 * Method    seed of the definitions: Kieffer (2025), J. Appl. Cryst. 58, 138; two thresholds, ties and borders as in docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#include "pixel.h"
#include "select.h"
#include "significance.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void find_maxima(__global const PIXEL_T *frame,
                 __global const float *position,
                 __global const float *weight,
                 __global const float *dark,
                 __global const float4 *table,
                 __global const float *curve,
                 const float k,
                 __global const float *reach,
                 __global const float *pick_curve,
                 const float pick_k,
                 const float noise2,
                 const PIXEL_T saturation,
                 const int connected,
                 const int height,
                 const int width,
                 __global uint *maxima,
                 __global uint *length)
{
    __local uint scan[LOCAL_SIZE];
    const uint pixels = (uint)height * (uint)width;
    const uint block = get_group_id(0), first = block * BLOCK, last = min(pixels, first + BLOCK);
    uint n = 0;
    for (uint strip = first; strip < last; strip += LOCAL_SIZE) {
        const uint pixel = strip + get_local_id(0);
        int peak = 0;
        if (pixel < last && !isnan(position[pixel]) && usable(frame[pixel])) {
            const PIXEL_T raw = frame[pixel];
            const float s = COUNTS(raw, dark, pixel), w = weight[pixel];
            peak = raw > saturation && !isnan(background_at(table, position[pixel]).x);
            if (!peak && may_be_significant(s, position[pixel], w, reach)) {
                const float4 ring = background_at(table, position[pixel]);
                peak = s >= significant_counts(ring, w, noise2, k, curve);
            }
        }
        if (peak) {
            const PIXEL_T raw = min(frame[pixel], saturation);
            const int slow = pixel / width, fast = pixel % width;
            int above = 0;
            for (int i = max(slow - REACH, 0); i <= min(slow + REACH, height - 1); i++)
                for (int j = max(fast - REACH, 0); j <= min(fast + REACH, width - 1); j++) {
                    const uint other = (uint)i * (uint)width + (uint)j;
                    const PIXEL_T value = frame[other];
                    if (isnan(position[other]) || !usable(value)) continue;
                    const PIXEL_T level = min(value, saturation);
                    if (level > raw || (level == raw && other < pixel)) peak = 0;
                    const float4 ring = background_at(table, position[other]);
                    above += value > saturation ||
                             COUNTS(value, dark, other) >
                                 significant_counts(ring, weight[other], noise2, pick_k, pick_curve);
                }
            peak = peak && above >= connected;
        }
        n = append(peak, pixel, maxima + first, n, scan);
    }
    if (get_local_id(0) == 0) length[block] = n;
}

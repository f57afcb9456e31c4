/* pick_stream.cl - the pixels of a frame that are significantly above their background, in storage order.
 *
 * What      compares each pixel with what is certain of its cell; only pixels in between are tested with their own normalization and
 *           place
 * Launch    one work-group of one work-item per BLOCK consecutive pixels
 * In        frame    [pixels]     raw counts, PIXEL_T
 *           cell     [pixels]     the cell of each pixel; `cells` = masked
 *           limit    [cells + 1]  of cell_limits.cl
 *           position, weight [pixels]  place between ring centres, NaN = masked; normalization
 *           table    [rings]      (mean, phi, spread that is not counting, fractions) of each ring
 *           reach    [rings]      of ring_reach.cl
 *           curve                 significance.h
 *           k, noise2             threshold in sigma; constant variance, counts^2
 *           saturation            largest valid raw value; above it a pixel is signal without a test
 *           pixels, cells, rings  numbers of them
 * Out       list     [blocks * BLOCK]  numbers of the pixels, ascending; block b starts at b * BLOCK
 *           length   [blocks]          how many
 * Defines   PIXEL_T, PIXEL_KIND = 0 | 1 and those of measurements (pixel.h); CURVE_* (significance.h); BLOCK;
 *           LANES = 8 | 16, LOCAL_SIZE = 1 (lanes.h)
 * Exact     thresholds agree with float64 to 1e-5 relative; lists are complete, ascending and the same on every run
 * Limits    pixels < 2^32. No dark frame, and no measurement below zero
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "lanes.h"
#include "significance.h"

#define BATCH 256

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void pick_stream(__global const PIXEL_T *frame,
                 __global const ushort *cell,
                 __global const ushort2 *limit,
                 __global const float *position,
                 __global const float *weight,
                 __global const float4 *table,
                 __global const float2 *reach,
                 __global const float *curve,
                 const float k,
                 const float noise2,
                 const PIXEL_T saturation,
                 const uint pixels,
                 const int cells,
                 const int rings,
                 __global uint *list,
                 __global uint *length)
{
    const uint begin = get_group_id(0) * BLOCK, end = min(pixels, begin + BLOCK);
    uint picked = 0;
    list += begin;
    for (uint first = begin; first < end; first += BATCH) {
        const int n = min(end - first, (uint)BATCH);
        uint hit[BATCH], unsure[BATCH];
        uchar verdict[BATCH];
        float place[BATCH], w[BATCH];
        ushort none[BATCH] __attribute__((aligned(64)));
        int hits = 0, doubts = 0, i = 0;
        for (int j = 0; j < n; j++) none[j] = limit[cell[first + j]].x;
        for (; i + LANES <= n; i += LANES) {
            const wides raw = PIXELS(frame, first + i);
            const wides most = WIDENED(*(const VECTOR_OF(ushort, LANES) *)(none + i));
            for (uint left = lane_bits(usable_lanes(raw) & MASK(raw > most)); left != 0; left &= left - 1)
                hit[hits++] = first + i + 31 - clz(left & -left);
        }
        for (; i < n; i++) {
            hit[hits] = first + i;
            hits += usable(frame[first + i]) & ((uint)frame[first + i] > none[i]);
        }
        for (int i = 0; i < hits; i++) {
            const PIXEL_T raw = frame[hit[i]];
            const uint own = cell[hit[i]], every = limit[own].y;
            const int real = own != cells, sure = (raw > saturation) | ((every < 65535) & ((uint)raw >= every));
            verdict[i] = sure && real;
            unsure[doubts] = i;
            doubts += !sure && real;
        }
        for (int i = 0; i < doubts; i++) place[i] = position[hit[unsure[i]]]; /* loads that do not wait for one another */
        for (int i = 0; i < doubts; i++) w[i] = weight[hit[unsure[i]]];
        for (int i = 0; i < doubts; i++)
            verdict[unsure[i]] = significant((float)frame[hit[unsure[i]]], w[i], place[i], reach, table, rings, noise2, k, curve);
        for (int i = 0; i < hits; i++) {
            list[picked] = hit[i];
            picked += verdict[i];
        }
    }
    length[get_group_id(0)] = picked;
}

/* pick_pixels.cl - the pixels of a frame that are significantly above their background.
 *
 * What      tests the candidates of each ring, which ring_statistics.cl listed
 * Launch    one work-group of LOCAL_SIZE per ring; second dimension: one frame after the other
 * In        frame    [frames][pixels]  raw counts, PIXEL_T
 *           position [pixels]   place between ring centres, NaN = masked
 *           dark     [pixels]   dark counts (HAS_DARK)
 *           order, segment, ring_weight, room, tail_pixel, tail_above, tail_weight, tails, cover, sums: as in ring_statistics.cl
 *           rings, bands        numbers of them
 *           table    [frames][rings]  (mean, phi, spread that is not counting, fractions) of each ring
 *           reach    [frames][rings]  of ring_reach.cl
 *           curve               significance.h
 *           k, noise2           threshold in sigma; constant variance, counts^2
 *           saturation          largest valid raw value; above it a pixel is signal without a test
 *           pixels              of a frame
 * Out       picked [frames][pixels]  pixel numbers, in no order
 *           count  [frames][2]       added to [0]: how many
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); GROUP; LOCAL_SIZE
 * Exact     thresholds agree with float64 to 1e-5 relative; lists are complete
 * Limits    pixels < 2^32
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "pixel.h"
#include "candidates.h"
#include "significance.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void pick_pixels(__global const PIXEL_T *frame,
                 __global const float *position,
                 __global const int *order,
                 __global const int *segment,
                 __global const float *ring_weight,
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
                 const float noise2,
                 const PIXEL_T saturation,
                 const uint pixels,
                 __global uint *picked,
                 __global uint *count)
{
    const int ring = get_group_id(0), number = get_group_id(1);
    frame += (size_t)number * pixels;
    table += number * rings;
    reach += number * rings;
    Candidates all = candidates_of(ring, rings, bands, number, order, segment, ring_weight, room, tail_pixel, tail_above, tail_weight, tails, cover,
                                   sums, reach[ring].x);
    Found found;
    found.list = picked + (size_t)number * pixels;
    found.count = count + 2 * number;
    found.n = 0;
    Batch batch;
    while (next_batch(&batch, &all, frame)) {
        float place[BATCH];
        for (int i = 0; i < batch.n; i++) place[i] = position[batch.pixel[i]];
        for (int i = 0; i < batch.n; i++) {
            const PIXEL_T raw = batch.raw[i];
            const float w = batch.w[i];
            if (!usable(raw)) continue;
            const float s = COUNTS(raw, dark, batch.pixel[i]);
            if (raw > saturation || significant(s, w, place[i], reach, table, rings, noise2, k, curve))
                add_found(&found, batch.pixel[i]);
        }
    }
    write_found(&found);
}

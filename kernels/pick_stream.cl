/* pick_stream.cl - the pixels of a frame that are significantly above their background, in storage order.
 *
 * What      compares strips of pixels with the least that is significant in one of their rings; what is above with what is certain of its
 *           cell; and tests only what is in between with its own normalization and place
 * Launch    one work-group of one work-item per BLOCK consecutive pixels, which are whole strips
 * In        frame    [pixels]     raw counts, PIXEL_T
 *           cell     [pixels]     the cell of each pixel; `cells` = masked
 *           limit    [cells + 1]  of cell_limits.cl
 *           least    [levels][rings]  likewise
 *           strip_rings, strip_weight [strips]  first and last ring of each STRIP pixels, the last before the first where all are
 *                                 masked; their least normalization
 *           position, weight [pixels]  place between ring centres, NaN = masked; normalization
 *           table    [rings]      (mean, phi, spread that is not counting, fractions) of each ring
 *           reach    [rings]      of ring_reach.cl
 *           curve                 significance.h
 *           k, noise2             threshold in sigma; constant variance, counts^2
 *           saturation            largest valid raw value; above it a pixel is signal without a test
 *           pixels, cells, rings  numbers of them
 * Out       list     [blocks * BLOCK]  numbers of the pixels, ascending; block b starts at b * BLOCK
 *           length   [blocks]          how many
 * Defines   PIXEL_T, PIXEL_KIND = 0 | 1 and those of measurements (pixel.h); CURVE_* (significance.h); BLOCK, STRIP;
 *           LANES = 8 | 16, LOCAL_SIZE = 1 (lanes.h)
 * Exact     thresholds agree with float64 to 1e-5 relative; lists are complete, ascending and the same on every run
 * Limits    pixels < 2^32. No dark frame, and no measurement below zero
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "lanes.h"
#include "significance.h"

#define BATCH 512 /* hits that are looked at together */

typedef struct {
    __global const PIXEL_T *frame;
    __global const ushort *cell;
    __global const ushort2 *limit;
    __global const float *position, *weight;
    __global const float4 *table;
    __global const float2 *reach;
    __global const float *curve;
    float k, noise2;
    PIXEL_T saturation;
    int cells, rings;
} Picking;

/* Write those of some pixels that are significant to a list; how many. */
static inline uint write_significant(const Picking *in, const uint *hit, const int hits, __global uint *list)
{
    ushort own[BATCH], unsure[BATCH];
    uchar verdict[BATCH];
    float place[BATCH], w[BATCH];
    int doubts = 0;
    uint picked = 0;
    for (int i = 0; i < hits; i++) own[i] = LOADED(ushort, in->cell, hit[i]); /* loads that do not wait for one another */
    for (int i = 0; i < hits; i++) {
        const PIXEL_T raw = in->frame[hit[i]];
        const ushort2 between = in->limit[own[i]];
        const int sure = (raw > in->saturation) | ((between.y < 65535) & ((uint)raw >= between.y));
        const int above = (own[i] != in->cells) & ((raw > in->saturation) | ((uint)raw > between.x));
        verdict[i] = sure & above;
        unsure[doubts] = i;
        doubts += !sure & above;
    }
    for (int i = 0; i < doubts; i++) place[i] = LOADED(float, in->position, hit[unsure[i]]);
    for (int i = 0; i < doubts; i++) w[i] = LOADED(float, in->weight, hit[unsure[i]]);
    for (int i = 0; i < doubts; i++)
        verdict[unsure[i]] = significant((float)in->frame[hit[unsure[i]]], w[i], place[i], in->reach, in->table, in->rings, in->noise2,
                                         in->k, in->curve);
    for (int i = 0; i < hits; i++) {
        list[picked] = hit[i];
        picked += verdict[i];
    }
    return picked;
}

/* Counts up to which no pixel of a strip is significant; the saturation value, at most. */
static inline PIXEL_T least_limit(__global const float *least, const int rings, const ushort2 span, const float w, const PIXEL_T saturation)
{
    const uint level = 31 - clz((uint)(span.y - span.x + 1));
    __global const float *row = least + level * rings;
    const float limit = fmin(row[span.x], row[span.y + 1 - (1 << level)]) * w;
    return limit < (float)saturation ? (PIXEL_T)fmax(limit, 0.0f) : saturation;
}

/* Note the pixels of a strip that hold more than `most`; how many. */
static inline int note_above(__global const PIXEL_T *frame, const uint first, const uint end, const PIXEL_T most, uint *hit)
{
    int hits = 0;
    uint i = first;
    for (; i + LANES <= end; i += LANES) {
        const wides raw = PIXELS(frame, i);
        for (uint left = lane_bits(usable_lanes(raw) & MASK(raw > WIDE(most))); left != 0; left &= left - 1)
            hit[hits++] = i + 31 - clz(left & -left);
    }
    for (; i < end; i++) {
        hit[hits] = i;
        hits += usable(frame[i]) & (frame[i] > most);
    }
    return hits;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void pick_stream(__global const PIXEL_T *frame,
                 __global const ushort *cell,
                 __global const ushort2 *limit,
                 __global const float *least,
                 __global const ushort2 *strip_rings,
                 __global const float *strip_weight,
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
    const Picking in = {frame, cell, limit, position, weight, table, reach, curve, k, noise2, saturation, cells, rings};
    const uint begin = get_group_id(0) * BLOCK, end = min(pixels, begin + BLOCK);
    uint picked = 0, hit[BATCH];
    int hits = 0;
    list += begin;
    for (uint first = begin; first < end; first += STRIP) {
        const ushort2 span = strip_rings[first / STRIP];
        if (span.x > span.y) continue;
        const PIXEL_T most = least_limit(least, rings, span, strip_weight[first / STRIP], saturation);
        hits += note_above(frame, first, min(first + STRIP, end), most, hit + hits);
        if (hits > BATCH - STRIP) {
            picked += write_significant(&in, hit, hits, list + picked);
            hits = 0;
        }
    }
    length[get_group_id(0)] = picked + write_significant(&in, hit, hits, list + picked);
}

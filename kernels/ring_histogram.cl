/* ring_histogram.cl - the pixels of a frame counted by cell (ring and class of normalization) and counts.
 *
 * What      reads the frame once, in storage order. Measurements of HIGH counts and more share a bin: their sum and the largest, which
 *           the bin does not tell, are added up by ring, and so are saturated pixels
 * Launch    one work-group of one work-item for each part of the frame; a part has a table of its own, so that nobody waits
 * In        frame    [pixels]       raw counts, PIXEL_T
 *           cell     [pixels]       the cell of each pixel; `cells` = masked
 *           position [pixels]       place between ring centres
 *           pixels, cells, rings    numbers of them
 *           saturation              largest valid raw value
 * Out       table    [parts][cells + 1][BINS]  pixels in each bin (histogram.h)
 *           high     [parts][rings][4]  of measurements of HIGH counts and more: sum, less significant half first, and the largest;
 *                                   number of saturated pixels
 * Defines   PIXEL_T, PIXEL_KIND = 0 | 1 and those of measurements (pixel.h); no measurement may be below zero
 * Exact     whole numbers, which are the same in whatever order and in however many parts they are added
 * Limits    pixels < 2^31; 65535 pixels in a cell
 * Method    counters are increased in the order 0, 128, 256, ... 896, 1, 129, ... of the pixels of a batch: neighbours often share a
 *           counter, and a processor waits for a number that it has just stored
 * Oracle    tests/oracles/histogram.py
 */
#include "histogram.h"
#include "pixel.h"
#include "significance.h"

#define BATCH 1024
#define STREAMS 8
#define APART (BATCH / STREAMS)
#define STRIP 64

/* Measurements that the bins do not tell apart. */
static void add_high(__global const PIXEL_T *frame, __global const ushort *cell, __global const float *position, const uint from,
                     const uint to, const int cells, const int rings, const PIXEL_T saturation, __global uint4 *high)
{
    for (uint i = from; i < to; i++) {
        const PIXEL_T raw = frame[i];
        if (!usable(raw) || (raw < HIGH && raw <= saturation) || cell[i] == cells) continue;
        const int ring = ring_at(position[i], rings);
        uint4 sums = high[ring];
        if (raw > saturation) {
            sums.w++;
        } else {
            sums.x += (uint)raw;
            sums.y += sums.x < (uint)raw; /* carried */
            sums.z = max(sums.z, (uint)raw);
        }
        high[ring] = sums;
    }
}

/* The counters of n pixels; whether there are measurements that the bins do not tell apart. */
static inline int counters_of(__global const PIXEL_T *frame, __global const ushort *cell, const int n, const PIXEL_T saturation,
                              uint *counter)
{
    const PIXEL_T most = min(saturation, (PIXEL_T)(HIGH - 1));
    int above = 0;
    for (int i = 0; i < n; i++) {
        const PIXEL_T raw = frame[i];
        const int measured = MEASURED(raw), few = raw <= most;
        const uint bin = measured & few ? (uint)raw : measured & (raw <= saturation) ? HIGH : LOST;
        counter[i] = (uint)cell[i] * BINS + bin;
        above |= measured & !few;
    }
    return above;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void ring_histogram(__global const PIXEL_T *frame,
                    __global const ushort *cell,
                    __global const float *position,
                    const uint pixels,
                    const int cells,
                    const int rings,
                    const PIXEL_T saturation,
                    __global ushort *table,
                    __global uint4 *high)
{
    const uint part = get_group_id(0), batches = (pixels + BATCH - 1) / BATCH;
    const uint from = (ulong)batches * part / get_num_groups(0) * BATCH;
    const uint to = min(pixels, (uint)((ulong)batches * (part + 1) / get_num_groups(0) * BATCH));
    table += (size_t)part * (cells + 1) * BINS;
    high += (size_t)part * rings;
    for (int i = 0; i < (cells + 1) * BINS / 16; i++) ((__global ushort16 *)table)[i] = 0;
    for (int i = 0; i < rings; i++) high[i] = 0;

    for (uint first = from; first < to; first += BATCH) {
        const uint n = min(to - first, (uint)BATCH);
        uint counter[BATCH];
        for (uint i = 0; i < n; i += STRIP) {
            const uint at = first + i;
            const int whole = i + STRIP <= n, above = whole ? counters_of(frame + at, cell + at, STRIP, saturation, counter + i)
                                                            : counters_of(frame + at, cell + at, n - i, saturation, counter + i);
            if (above) add_high(frame, cell, position, at, min(at + STRIP, to), cells, rings, saturation, high);
        }
        for (uint i = n; i < BATCH; i++) counter[i] = (uint)cells * BINS; /* behind the frame */
        for (int i = 0; i < APART; i++) {
#pragma unroll
            for (int j = 0; j < STREAMS; j++) table[counter[i + j * APART]]++;
        }
    }
}

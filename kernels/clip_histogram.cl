/* clip_histogram.cl - background of every ring by iterative sigma clipping of its histogram.
 *
 * What      the same as ring_statistics.cl from the counters of ring_histogram.cl: robust start, cycles, excess variance and totals.
 *           A ring whose limits lie beyond the bins, where it has pixels, is left to ring_statistics.cl
 * Launch    one work-group of one work-item per ring
 * In        table       [parts][cells + 1][BINS]  of ring_histogram.cl; the first part receives the sums of all
 *           high        [parts][rings][4]         likewise
 *           first_cell  [rings + 1]  the cells of ring r: first_cell[r] .. first_cell[r + 1] - 1
 *           cell_weight, cell_bounds [cells]  mean normalization of a cell; the least and the largest
 *           cell_pixel  [cells + 1]  the pixels of cell c: cell_order[cell_pixel[c]] .. cell_order[cell_pixel[c + 1] - 1]
 *           cell_order               numbers of the pixels, cell by cell
 *           frame, weight [pixels]   raw counts, PIXEL_T; normalization
 *           saturation               largest valid raw value
 *           about       [rings]      mean, largest and smallest normalization of the ring, and its number of pixels
 *           parts, cells, rings      numbers of them
 *           clip, cycles             as ring_statistics.cl
 * Out       inside      [cells][4]   what it remembers of each cell
 *           sums, totals [rings][8]  as ring_statistics.cl
 *           lost        [rings]      number of unusable pixels
 *           beyond      [rings]      1 if the ring is left to ring_statistics.cl, else 0
 * Defines   POISSON_CLIP = 1: clip with the Poisson spread, 0: azimuthal; PIXEL_T, PIXEL_KIND = 0 | 1 and others (pixel.h)
 * Exact     which pixels are inside is decided by their own normalization: where that of a cell leaves it open, its pixels are looked
 *           at. The sums then take those inside at the mean normalization of their cell: the mean is exact to 0.02 standard errors
 * Limits    65535 pixels in a cell. Needs a device with double precision
 * Method    as ring_statistics.cl (docs/background.md). A cycle only moves the ends of the bins that are inside
 * Oracle    tests/oracles/background.py
 */
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#include "histogram.h"
#include "ring_start.h"
#include "ring_totals.h"

#define MANY 2000 /* measurements of a ring whose excess variance does not depend on single pixels */

/* A ring: counters and normalization of its cells, and for each the number of pixels of bins `from` to `to` - 1, the sum of their
 * counts and that of the squares, and from + BINS to. */
typedef struct {
    __global const ushort *table;
    __global const float *cell_weight;
    __global const float2 *cell_bounds;
    __global const int *cell_pixel;
    __global uint4 *inside;
    __global const int *cell_order;
    __global const PIXEL_T *frame;
    __global const float *weight;
    PIXEL_T saturation;
    int cells;
    float heaviest;
    uint high; /* measurements in the last bin */
    int beyond;
} Cells;

/* Sums over the pixels inside limits: of 1, s, s^2, w, w^2 and s w. */
typedef struct {
    double n, s, ss, w, ww, sw;
} Sums;

/* The same for bins `from` to `to` - 1. */
static inline uint4 moved(uint4 cell, __global const ushort *table, const uint from, const uint to)
{
    uint b = cell.w % BINS, e = cell.w / BINS;
    while (e > to) e--, cell.x -= table[e], cell.y -= table[e] * e, cell.z -= table[e] * e * e;
    while (e < to) cell.x += table[e], cell.y += table[e] * e, cell.z += table[e] * e * e, e++;
    while (b < from) cell.x -= table[b], cell.y -= table[b] * b, cell.z -= table[b] * b * b, b++;
    while (b > from) b--, cell.x += table[b], cell.y += table[b] * b, cell.z += table[b] * b * b;
    cell.w = b + BINS * e;
    return cell;
}

/* The bins that are inside for a pixel of normalization w: .x to .y - 1. */
static inline uint2 bins_inside(const Limits limits, const float w)
{
    const uint to = (uint)clamp(fmax(limits.high * w, limits.floor_count) + 1.0f, 0.0f, (float)HIGH);
    return (uint2)(min((uint)clamp(ceil(limits.low * w), 0.0f, (float)HIGH), to), to);
}

/* Add the pixels of a cell that are in bins inside for the lightest or the heaviest pixel, not for both, if they are inside. */
static void add_open(Sums *sum, const Cells *ring, const int c, const Limits limits, const uint2 some, const uint2 all)
{
    for (int i = ring->cell_pixel[c]; i < ring->cell_pixel[c + 1]; i++) {
        const int pixel = ring->cell_order[i];
        const PIXEL_T raw = ring->frame[pixel];
        if (!usable(raw) || raw > ring->saturation || raw >= HIGH) continue;
        const uint s = (uint)raw;
        if (s < some.x || s >= some.y || (s >= all.x && s < all.y)) continue;
        const float w = ring->weight[pixel];
        const uint2 own = bins_inside(limits, w);
        if (s < own.x || s >= own.y) continue;
        sum->n += 1.0, sum->s += s, sum->ss += (double)s * s;
        sum->w += w, sum->ww += (double)w * w, sum->sw += (double)s * w;
    }
}

/* The part of a cell's normalizations, evenly spread between bounds, for which counts are inside limits. */
static inline double share_inside(const Limits limits, const float2 bounds, const uint counts)
{
    const double from = fmax(bounds.x, counts / limits.high), to = limits.low > 0.0f ? fmin(bounds.y, counts / limits.low) : bounds.y;
    return clamp((to - from) / (bounds.y - bounds.x), 0.0, 1.0);
}

/* Add the pixels of the same bins by how many are likely to be inside: counts decide alone. */
static inline void add_likely(Sums *sum, const Cells *ring, const int c, const Limits limits, const uint2 some, const uint2 all)
{
    const double w = ring->cell_weight[c];
    for (uint s = some.x; s < some.y; s++) {
        if (s >= all.x && s < all.y) continue;
        const double n = ring->table[c * BINS + s] * share_inside(limits, ring->cell_bounds[c], s);
        sum->n += n, sum->s += n * s, sum->ss += n * s * s;
        sum->w += n * w, sum->ww += n * w * w, sum->sw += n * s * w;
    }
}

/* `exact`: pixels of cells that leave it open are looked at. */
static Sums sums_within(Cells *ring, const Limits limits, const int exact)
{
    Sums sum = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    ring->beyond |= ring->high > 0 && !(fmax(limits.high * ring->heaviest, limits.floor_count) < HIGH);
    for (int c = 0; c < ring->cells; c++) {
        __global const ushort *table = ring->table + c * BINS;
        const uint2 light = bins_inside(limits, ring->cell_bounds[c].x), heavy = bins_inside(limits, ring->cell_bounds[c].y);
        const uint2 some = {min(light.x, heavy.x), max(light.y, heavy.y)};
        const uint to = min(light.y, heavy.y);
        const uint2 all = {min(max(light.x, heavy.x), to), to};
        const uint4 cell = moved(ring->inside[c], table, all.x, all.y);
        ring->inside[c] = cell;
        const double w = ring->cell_weight[c], n = cell.x + (limits.zero_stays && all.x > 0 && all.y > 0 ? table[0] : 0);
        sum.n += n;
        sum.s += cell.y;
        sum.ss += cell.z;
        sum.w += n * w;
        sum.ww += n * w * w;
        sum.sw += cell.y * w;
        uint open = 0;
        for (uint b = some.x; b < all.x; b++) open += table[b];
        for (uint b = all.y; b < some.y; b++) open += table[b];
        if (open > 0 && exact) add_open(&sum, ring, c, limits, some, all);
        if (open > 0 && !exact) add_likely(&sum, ring, c, limits, some, all);
    }
    return sum;
}

/* sum w^2 (v - mean)^2 */
static inline double squares(const Sums sum, const double mean)
{
    return fmax(sum.ss - 2.0 * mean * sum.sw + mean * mean * sum.ww, 0.0);
}

/* Add up the parts of the table; the bins of the whole ring, and the sum of the normalizations of the measurements. */
static double add_parts(__global ushort *table, const Cells *ring, const int parts, const size_t part, uint *all)
{
    double weight = 0.0;
    for (int b = 0; b < BINS; b++) all[b] = 0;
    for (int c = 0; c < ring->cells; c++, table += BINS) {
        uint one[BINS], n = 0;
        for (int b = 0; b < BINS; b++) one[b] = table[b];
        for (int p = 1; p < parts; p++)
            for (int b = 0; b < BINS; b++) one[b] += table[p * part + b];
        for (int b = 0; b < BINS; b++) {
            table[b] = one[b];
            all[b] += one[b];
            n += one[b];
        }
        weight += (double)(n - one[LOST]) * ring->cell_weight[c];
    }
    return weight;
}

/* The order statistics of ring_start.h, of all measurements of a ring. */
static Order order_of(const uint *all, const uint known, const float mean_weight)
{
    const uint middle = (known - 1) / 2, low = (uint)(0.16f * (known - 1));
    int lowest = -1, lower = -1, median = -1;
    uint below = 0;
    for (int b = 0; median < 0; b++) {
        below += all[b];
        if (lowest < 0 && below > 0) lowest = b;
        if (lower < 0 && below > low) lower = b;
        if (below > middle) median = b;
    }
    const Order order = {lowest / mean_weight, lower / mean_weight, median / mean_weight, all[0]};
    return order;
}

/* A row of totals (ring_totals.h). */
static void write_row(const uint *all, const uint known, const uint4 high, __global uint *out)
{
    ulong sum = (ulong)high.y << 32 | high.x;
    uint top = high.z;
    for (int b = 1; b < HIGH; b++) sum += (ulong)all[b] * b;
    for (int b = 0; b < HIGH; b++)
        if (all[b] > 0) top = max(top, (uint)b);
    for (int i = 0; i < 4; i++) out[i] = (uint)(sum >> 16 * i) & 0xffff;
    out[4] = known > 0 ? place_of(top) : 0;
    out[5] = known + high.w;
    out[6] = 0;
    out[7] = high.w;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void clip_histogram(__global ushort *table,
                    __global uint4 *high,
                    __global const int *first_cell,
                    __global const float *cell_weight,
                    __global const float2 *cell_bounds,
                    __global const int *cell_pixel,
                    __global const int *cell_order,
                    __global const PIXEL_T *frame,
                    __global const float *weight,
                    const PIXEL_T saturation,
                    __global const float4 *about,
                    const int parts,
                    const int cells,
                    const int rings,
                    const float clip,
                    const int cycles,
                    __global uint4 *inside,
                    __global float *sums,
                    __global uint *totals,
                    __global uint *lost,
                    __global uint *beyond)
{
    const int r = get_group_id(0), first = first_cell[r];
    table += first * BINS;
    Cells ring = {table, cell_weight + first, cell_bounds + first, cell_pixel + first, inside + first, cell_order, frame, weight,
                  saturation, first_cell[r + 1] - first, about[r].y, 0, 0};
    uint all[BINS], known = 0;
    const double total = add_parts(table, &ring, parts, (size_t)(cells + 1) * BINS, all);
    for (int b = 0; b < LOST; b++) known += all[b];
    uint4 more = high[r];
    for (int p = 1; p < parts; p++) {
        const uint4 part = high[p * rings + r];
        more.x += part.x;
        more.y += part.y + (more.x < part.x);
        more.z = max(more.z, part.z);
        more.w += part.w;
    }
    high[r] = more;
    write_row(all, known, more, totals + TOTALS * r);
    lost[r] = all[LOST] - more.w;
    beyond[r] = 0;
    sums += 8 * r;
    for (int i = 0; i < 8; i++) sums[i] = 0.0f;
    if (known == 0) return;

    const float mean_weight = total / known;
    const Start start = robust_start(order_of(all, known, mean_weight), known, 1, known, mean_weight, about[r].y, about[r].z, clip,
                                     cycles);
    Limits limits = {start.limits.low + start.c, start.limits.high + start.c, start.limits.floor_count, start.limits.zero_stays};
    ring.high = all[HIGH];
    const int reached = clamp(fmax(limits.high * about[r].y, limits.floor_count) + 1.0f, 0.0f, (float)HIGH);
    for (int c = 0; c < ring.cells; c++) {
        uint n = 0, s = 0, ss = 0;
        for (int b = 0; b < reached; b++) {
            const uint here = table[c * BINS + b];
            n += here, s += here * b, ss += here * (b * b);
        }
        ring.inside[c] = (uint4)(n, s, ss, BINS * reached);
    }

    Sums left = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    double mean = start.near + start.c, variance = 0.0;
    for (int cycle = 0; cycle <= cycles; cycle++) {
        const Sums sum = sums_within(&ring, limits, 1);
        if (sum.n == 0.0) break; /* a cycle that leaves nothing is not carried out */
        const int same = cycle > 0 && sum.n == left.n;
        left = sum;
        mean = sum.s / sum.w;
        variance = squares(sum, mean);
        if (same || cycle == cycles) break;
        const float t = clip > 0.0f ? clip : chauvenet(sum.n), level = mean * mean_weight;
        const float reach = t * (float)sqrt((POISSON_CLIP ? sum.s : variance) / sum.ww);
        if (t < INFINITY) { /* one or two pixels are nothing to judge one another by */
            limits.low = fmax(limits.low, (float)mean - reach);
            limits.high = fmin(limits.high, (float)mean + reach);
            limits.floor_count = level < 10.0f ? reached_by_chance(mean * about[r].y, sum.n) : -INFINITY;
            limits.zero_stays = level < 10.0f;
        }
    }

    /* As ring_clip.h has it. */
    const double every = left.s > 0.0 ? variance / left.s : 1.0;
    double excess = every;
    if (mean * mean_weight >= 2.0 && left.n > 0.0 && every < 1.7) {
        const float reach = 3.0 * sqrt(variance / left.ww);
        const Limits narrow = {(float)mean - reach, (float)mean + reach, -INFINITY, 0};
        const Sums core = sums_within(&ring, narrow, known < MANY);
        const double inner = core.w > 0.0 ? squares(core, mean) / (0.9733 * mean * core.w) : 1.0;
        excess = mix(inner, every, clamp((every - 1.3) / 0.4, 0.0, 1.0));
    }
    beyond[r] = ring.beyond;
    sums[0] = left.n;
    sums[1] = mean - start.c;
    sums[2] = left.w;
    sums[3] = left.ww;
    sums[4] = variance;
    sums[5] = start.c;
    sums[7] = excess;
}

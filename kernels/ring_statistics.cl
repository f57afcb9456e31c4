/* ring_statistics.cl - background of every ring of one frame by iterative sigma clipping.
 *
 * What      gathers the counts s of each ring once, starts from a robust estimate of their level, and drops
 *           |s/w - mean| > t std for at most `cycles` cycles, until nothing more is dropped
 * Launch    one work-group of LOCAL_SIZE per ring
 * In        frame  [pixels]      raw counts, PIXEL_T
 *           order  [padded]      pixel numbers, ring after ring, each ring padded with -1 to a multiple of LANES
 *           start  [rings + 1]   ring r owns order[start[r]] .. order[start[r + 1] - 1]
 *           weight [padded]      normalization w of the pixels in that order, 1 in the padding
 *           dark   [padded]      dark counts in that order (HAS_DARK)
 *           saturation           largest valid raw value
 *           clip                 threshold t in units of std; 0 = Chauvenet's sqrt(2 ln(n / sqrt(2 pi)))
 *           cycles               0 = no clipping at all
 * Scratch   counts [padded]      float
 * Out       sums   [rings][8]    n, V / Omega, Omega, OmegaOmega, VV azimuthal, V, n of fractional counts,
 *                                azimuthal / Poisson variance of the core of the ring
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); POISSON_CLIP = 1: clip with the Poisson spread, 0: azimuthal;
 *           LANES: pixels worked on side by side; LOCAL_SIZE: a power of two
 * Exact     counts are gathered exactly below 2^24; all moments are taken about the mean of the last cycle and added
 *           in blocks, and then the blocks: 1e-5 relative in float32 for any number of pixels. Always in the same order.
 * Limits    padded < 2^31
 * Method    Kieffer (2025), J. Appl. Cryst. 58, 138, for clipping, error models and Chauvenet's threshold; the robust start,
 *           the Poisson floor of the upper limit and the moments about the last mean are crystint's (docs/background.md)
 * Oracle    tests/oracles/background.py
 */
#include "pixel.h"
#include "tail.h"

#define SAMPLE 128
#define BLOCK 64
#define MOMENTS 5

static inline float chauvenet(const float n)
{
    return n < 3.0f ? INFINITY : sqrt(2.0f * log(n * 0.3989422804f));
}

/* Sort sample[SAMPLE] upwards, all work-items together (bitonic network). */
void sort_sample(__local float *sample)
{
    for (int size = 2; size <= SAMPLE; size <<= 1)
        for (int stride = size >> 1; stride > 0; stride >>= 1) {
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int i = get_local_id(0); i < SAMPLE / 2; i += LOCAL_SIZE) {
                const int a = 2 * i - (i & (stride - 1)), b = a + stride;
                const float x = sample[a], y = sample[b];
                const int upwards = (a & size) == 0;
                sample[a] = upwards ? fmin(x, y) : fmax(x, y);
                sample[b] = upwards ? fmax(x, y) : fmin(x, y);
            }
        }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* Add up one value of every work-item; all receive the sum. */
float group_sum(const float mine, __local float *slot)
{
#if LOCAL_SIZE == 1
    return mine;
#else
    const int me = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    slot[me] = mine;
    for (int half_size = LOCAL_SIZE / 2; half_size > 0; half_size >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < half_size) slot[me] += slot[me + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return slot[0];
#endif
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_statistics(__global const PIXEL_T *frame,
                     __global const int *order,
                     __global const int *start,
                     __global const float *weight,
                     __global const float *dark,
                     const PIXEL_T saturation,
                     const float clip,
                     const int cycles,
                     __global float *counts,
                     __global float *sums)
{
    __local float sample[SAMPLE];
    __local float slot[LOCAL_SIZE];
    __local float guess[4]; /* level, lower limit, upper limit, upper limit in counts */
    const int ring = get_group_id(0), me = get_local_id(0);
    const int first = start[ring], last = start[ring + 1];

    /* 1. Gather. NaN marks what is no measurement. */
    float my_n = 0.0f, my_length = 0.0f, my_weight = 0.0f, my_heaviest = 0.0f, my_fractions = 0.0f;
    for (int k = first + me * LANES; k < last; k += LOCAL_SIZE * LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            const int pixel = order[k + lane];
            const PIXEL_T raw = pixel < 0 ? 0 : frame[pixel];
            const int good = pixel >= 0 && usable(raw) && raw <= saturation;
            const float w = weight[k + lane];
            counts[k + lane] = good ? COUNTS(raw, dark, k + lane) : NAN;
            my_length += pixel >= 0 ? 1.0f : 0.0f;
            my_n += good ? 1.0f : 0.0f;
            my_weight += good ? w : 0.0f;
            my_heaviest = good ? fmax(my_heaviest, w) : my_heaviest;
#if PIXEL_KIND == 2
            my_fractions += good && raw != rint(raw) ? 1.0f : 0.0f;
#endif
        }
    }
    const float usable_n = group_sum(my_n, slot);
    const int length = (int)group_sum(my_length, slot);
    const float mean_weight = group_sum(my_weight, slot) / usable_n;
    const float fractions = group_sum(my_fractions, slot);
#if LOCAL_SIZE == 1
    const float heaviest = my_heaviest;
#else
    barrier(CLK_LOCAL_MEM_FENCE);
    slot[me] = my_heaviest;
    barrier(CLK_LOCAL_MEM_FENCE);
    float heaviest = 0.0f;
    for (int i = 0; i < LOCAL_SIZE; i++) heaviest = fmax(heaviest, slot[i]);
#endif
    if (usable_n == 0.0f) { /* the same for all work-items */
        if (me < 8) sums[8 * ring + me] = 0.0f;
        for (int i = me + LOCAL_SIZE; i < 8; i += LOCAL_SIZE) sums[8 * ring + i] = 0.0f;
        return;
    }
    barrier(CLK_GLOBAL_MEM_FENCE);

    /* 2. A robust start from a sample: level, and limits that are wide on purpose. */
    for (int i = me; i < SAMPLE; i += LOCAL_SIZE) {
        const int k = length <= SAMPLE ? i : (int)(((long)i * length) / SAMPLE);
        const float s = k < length ? counts[first + k] : NAN;
        sample[i] = isnan(s) ? INFINITY : s / weight[first + k];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (me == 0) {
        int known = 0;
        for (int i = 0; i < SAMPLE; i++) known += sample[i] < INFINITY;
        if (known < 32 && known < usable_n) { /* mostly unusable: take the first that are not */
            known = 0;
            for (int k = first; k < last && known < SAMPLE; k++)
                if (!isnan(counts[k])) sample[known++] = counts[k] / weight[k];
            for (int i = known; i < SAMPLE; i++) sample[i] = INFINITY;
        }
        guess[0] = known;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int known = guess[0];
    sort_sample(sample);
    const float threshold = clip > 0.0f ? clip : chauvenet(usable_n);
    if (me == 0) {
        int zeros = 0;
        for (int i = 0; i < known; i++) zeros += sample[i] == 0.0f;
        const float wide = fmax(1.5f * threshold, 3.0f);
        float level = sample[(known - 1) / 2], spread;
        float most = 0.0f; /* highest level that the sample allows, for the Poisson floor */
        if (level == 0.0f && sample[0] == 0.0f) {
            const float rate = -log(zeros / (known + 1.0f));
            level = rate / mean_weight;
            most = (rate + 2.0f * sqrt(rate / known) + 2.0f / known) / mean_weight;
            spread = sqrt(most / mean_weight);
        } else {
            most = level;
            spread = sqrt(fmax(level, 0.0f) / mean_weight);
#if !POISSON_CLIP
            spread = fmax(spread, level - sample[(int)(0.16f * (known - 1))]);
#endif
        }
        spread = fmax(spread, 1e-6f * fabs(level)); /* the level itself is always inside */
        const int clipped = cycles > 0 && isfinite(wide);
        guess[0] = level;
        guess[1] = clipped ? level - wide * spread : -INFINITY;
        guess[2] = clipped ? fmax(level, most) + wide * spread : INFINITY;
        guess[3] = most * mean_weight < 10.0f ? reached_by_chance(most * heaviest, usable_n) : -INFINITY;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float mean = guess[0], low = guess[1], high = guess[2], floor_count = guess[3];

    /* 3. Cycles. All work-items hold the same limits. */
    float n = 0.0f, omega = 0.0f, omega2 = 0.0f, vv = 0.0f, v = 0.0f;
    for (int cycle = 0; cycle <= cycles; cycle++) {
        /* Sums of d, w, w^2, d^2, w d with d = s - mean w, about the mean so far. */
        float sum[MOMENTS][LANES];
        uint number[LANES];
        for (int m = 0; m < MOMENTS; m++)
            for (int lane = 0; lane < LANES; lane++) sum[m][lane] = 0.0f;
        for (int lane = 0; lane < LANES; lane++) number[lane] = 0;
        const int zero_stays = mean * mean_weight < 10.0f;

        for (int from = first + me * LANES; from < last; from += BLOCK * LOCAL_SIZE * LANES) {
            float part[MOMENTS][LANES];
            for (int m = 0; m < MOMENTS; m++)
                for (int lane = 0; lane < LANES; lane++) part[m][lane] = 0.0f;
            const int to = min(last, from + BLOCK * LOCAL_SIZE * LANES);
            for (int k = from; k < to; k += LOCAL_SIZE * LANES) {
                for (int lane = 0; lane < LANES; lane++) {
                    const float s = counts[k + lane], w = weight[k + lane];
                    const int below = (s <= high * w) | (s <= floor_count);
                    const int above = (s >= low * w) | ((s == 0.0f) & zero_stays);
                    const int in = below & above; /* NaN is in neither */
                    const float d = in ? fma(-mean, w, s) : 0.0f;
                    const float u = in ? w : 0.0f;
                    number[lane] += in;
                    part[0][lane] += d;
                    part[1][lane] += u;
                    part[2][lane] += u * u;
                    part[3][lane] += d * d;
                    part[4][lane] += u * d;
                }
            }
            for (int m = 0; m < MOMENTS; m++)
                for (int lane = 0; lane < LANES; lane++) sum[m][lane] += part[m][lane];
        }
        float total[MOMENTS];
        for (int m = 0; m < MOMENTS; m++) {
            float mine = 0.0f;
            for (int lane = 0; lane < LANES; lane++) mine += sum[m][lane];
            total[m] = group_sum(mine, slot);
        }
        uint my_count = 0;
        for (int lane = 0; lane < LANES; lane++) my_count += number[lane];
        const float now_n = group_sum((float)my_count, slot);
        if (now_n == 0.0f) break; /* a cycle that leaves nothing is not carried out */

        const float shift = total[0] / total[1];
        const int same = cycle > 0 && now_n == n;
        n = now_n;
        omega = total[1];
        omega2 = total[2];
        vv = fmax(total[3] - 2.0f * shift * total[4] + shift * shift * total[2], 0.0f);
        v = fma(mean, total[1], total[0]);
        mean += shift;
        if (same || cycle == cycles) break;

#if POISSON_CLIP
        const float std = sqrt(fmax(v, 0.0f) / omega2);
#else
        const float std = sqrt(vv / omega2);
#endif
        const float reach = (clip > 0.0f ? clip : chauvenet(n)) * std;
        low = fmax(low, mean - reach);
        high = fmin(high, mean + reach);
        floor_count = mean * mean_weight < 10.0f ? reached_by_chance(mean * heaviest, n) : -INFINITY;
    }
    /* 4. The excess variance comes from the core of the ring, within 3 std, where the feet of Bragg peaks that
     * clipping left do not reach; a Gaussian has 0.9733 of its variance there. Below 2 counts all that is left counts. */
    float excess = v > 0.0f ? vv / v : 1.0f;
    if (mean * mean_weight >= 2.0f && n > 0.0f) {
        const float reach = 3.0f * sqrt(vv / omega2);
        float squares = 0.0f, weights = 0.0f;
        for (int from = first + me * LANES; from < last; from += BLOCK * LOCAL_SIZE * LANES) {
            float part[2][LANES];
            for (int lane = 0; lane < LANES; lane++) part[0][lane] = part[1][lane] = 0.0f;
            const int to = min(last, from + BLOCK * LOCAL_SIZE * LANES);
            for (int k = from; k < to; k += LOCAL_SIZE * LANES) {
                for (int lane = 0; lane < LANES; lane++) {
                    const float w = weight[k + lane], d = fma(-mean, w, counts[k + lane]);
                    const int in = fabs(d) <= reach * w; /* not for NaN */
                    part[0][lane] += in ? d * d : 0.0f;
                    part[1][lane] += in ? w : 0.0f;
                }
            }
            for (int lane = 0; lane < LANES; lane++) squares += part[0][lane], weights += part[1][lane];
        }
        squares = group_sum(squares, slot);
        weights = group_sum(weights, slot);
        excess = weights > 0.0f ? squares / (0.9733f * mean * weights) : 1.0f;
    }
    if (me == 0) {
        __global float *out = sums + 8 * ring;
        out[0] = n;
        out[1] = mean;
        out[2] = omega;
        out[3] = omega2;
        out[4] = vv;
        out[5] = v;
        out[6] = fractions;
        out[7] = excess;
    }
}

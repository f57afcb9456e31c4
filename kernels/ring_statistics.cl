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
 * Scratch   above  [padded]      float: s - c w, where c is near the level of the ring
 * Out       sums   [rings][8]    n, V / Omega - c, Omega, OmegaOmega, VV azimuthal, c, n of counts that are not whole
 *                                or have a dark subtracted, excess variance (azimuthal / Poisson)
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE, HAS_DARK (pixel.h); POISSON_CLIP = 1: clip with the Poisson spread, 0: azimuthal;
 *           LANES: pixels worked on side by side; LOCAL_SIZE: a power of two
 * Exact     s - c w is exact to 24 bits of the difference, whatever the counts; all moments are taken about the mean of the
 *           last cycle and added in blocks, then the blocks: 1e-5 relative in float32. Always in the same order.
 * Limits    padded < 2^31
 * Method    Kieffer (2025), J. Appl. Cryst. 58, 138, for clipping, error models and Chauvenet's threshold; the robust start,
 *           the Poisson floor of the upper limit and the moments about the last mean are crystint's (docs/background.md)
 * Oracle    tests/oracles/background.py
 */
#pragma OPENCL FP_CONTRACT OFF
#include "pixel.h"
#include "reduce.h"
#include "tail.h"

#define SAMPLE 128
#define BLOCK 64
#define MOMENTS 5

static inline float chauvenet(const float n)
{
    return n < 3.0f ? INFINITY : sqrt(2.0f * log(n * 0.3989422804f));
}

/* s - c w without losing what the two have in common. */
static inline float counts_above(const PIXEL_T raw, const float c, const float w, const float dark_counts)
{
#if PIXEL_WIDE
    const float high = (float)raw, low = (float)((long)raw - (long)high);
    const float product = c * w, rest = fma(c, w, -product);
    return (high - product) + (low - rest) - dark_counts;
#else
    return fma(-c, w, (float)raw) - dark_counts;
#endif
}

/* Normalized counts of a place of the ring; infinite where there is no measurement. */
static inline float value_at(__global const PIXEL_T *frame, __global const int *order, __global const float *weight,
                             __global const float *dark, const PIXEL_T saturation, const int k)
{
    const PIXEL_T raw = frame[order[k]];
    return usable(raw) && raw <= saturation ? COUNTS(raw, dark, k) / weight[k] : INFINITY;
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
                     __global float *above,
                     __global float *sums)
{
    __local float sample[SAMPLE];
    __local float slot[LOCAL_SIZE];
    __local float guess[4];
    const int ring = get_group_id(0), me = get_local_id(0);
    const int first = start[ring], last = start[ring + 1];
    int length = last - first; /* without the padding */
    while (length > 0 && order[first + length - 1] < 0) length--;

    /* 1. A sample, spread evenly over the ring, and its median. */
    for (int i = me; i < SAMPLE; i += LOCAL_SIZE) {
        const int k = length <= SAMPLE ? i : (int)(((long)i * length) / SAMPLE);
        sample[i] = k < length ? value_at(frame, order, weight, dark, saturation, first + k) : INFINITY;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (me == 0) {
        int found = 0;
        for (int i = 0; i < SAMPLE; i++) found += sample[i] < INFINITY;
        if (found < 32 && length > SAMPLE) { /* mostly unusable: take the first that are not */
            found = 0;
            for (int k = first; k < first + length && found < SAMPLE; k++) {
                const float v = value_at(frame, order, weight, dark, saturation, k);
                if (v < INFINITY) sample[found++] = v;
            }
            for (int i = found; i < SAMPLE; i++) sample[i] = INFINITY;
        }
        guess[0] = found;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int known = guess[0];
    if (known == 0) { /* the same for all work-items */
        for (int i = me; i < 8; i += LOCAL_SIZE) sums[8 * ring + i] = 0.0f;
        return;
    }
    sort_together(sample, SAMPLE);
    const float median = sample[(known - 1) / 2];
    const float c = fabs(median) < 10.0f ? 0.0f : median; /* small counts are exact as they are */

    /* 2. Gather. NaN marks what is no measurement. */
    float my_n = 0.0f, my_weight = 0.0f, my_heaviest = 0.0f, my_fractions = 0.0f;
    for (int k = first + me * LANES; k < last; k += LOCAL_SIZE * LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            const int pixel = order[k + lane];
            const PIXEL_T raw = pixel < 0 ? 0 : frame[pixel];
            const int good = pixel >= 0 && usable(raw) && raw <= saturation;
            const float w = weight[k + lane];
#if HAS_DARK
            above[k + lane] = good ? counts_above(raw, c, w, dark[k + lane]) : NAN;
            my_fractions += good ? 1.0f : 0.0f;
#else
            above[k + lane] = good ? counts_above(raw, c, w, 0.0f) : NAN;
#endif
            my_n += good ? 1.0f : 0.0f;
            my_weight += good ? w : 0.0f;
            my_heaviest = good ? fmax(my_heaviest, w) : my_heaviest;
#if PIXEL_KIND == 2
            my_fractions += good && raw != rint(raw) ? 1.0f : 0.0f;
#endif
        }
    }
    const float usable_n = group_sum(my_n, slot);
    const float mean_weight = group_sum(my_weight, slot) / usable_n;
    const float fractions = group_sum(my_fractions, slot);
    const float heaviest = group_max(my_heaviest, slot);
    barrier(CLK_GLOBAL_MEM_FENCE);

    /* 3. A robust start: level, and limits that are wide on purpose. */
    if (me == 0) {
        int zeros = 0;
        for (int i = 0; i < known; i++) zeros += sample[i] == 0.0f;
        const float threshold = clip > 0.0f ? clip : chauvenet(usable_n);
        const float wide = fmax(1.5f * threshold, 3.0f);
        float level = median, spread;
        float most = median; /* highest level that the sample allows, for the Poisson floor */
        if (median == 0.0f && sample[0] == 0.0f) {
            const float rate = -log(zeros / (known + 1.0f));
            level = rate / mean_weight;
            most = (rate + 2.0f * sqrt(rate / known) + 2.0f / known) / mean_weight;
            spread = sqrt(most / mean_weight);
        } else {
            spread = sqrt(fmax(level, 0.0f) / mean_weight);
#if !POISSON_CLIP
            spread = fmax(spread, level - sample[(int)(0.16f * (known - 1))]);
#endif
#if HAS_DARK
            spread = fmax(spread, 1.0f / mean_weight); /* whole counts have steps of one */
#endif
        }
        spread = fmax(spread, 1e-6f * fabs(level)); /* the level itself is always inside */
        const int clipped = cycles > 0 && isfinite(wide);
        guess[0] = c == 0.0f ? 0.0f : level - c;
        guess[1] = clipped ? level - c - wide * spread : -INFINITY;
        guess[2] = clipped ? fmax(level, most) - c + wide * spread : INFINITY;
        guess[3] = most * mean_weight < 10.0f ? reached_by_chance(most * heaviest, usable_n) : -INFINITY;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float mean = guess[0], low = guess[1], high = guess[2], floor_count = guess[3]; /* all but the last less c */

    /* 4. Cycles. All work-items hold the same limits. */
    float n = 0.0f, omega = 0.0f, omega2 = 0.0f, vv = 0.0f, v = 0.0f;
    for (int cycle = 0; cycle <= cycles; cycle++) {
        /* Sums of d, w, w^2, d^2, w d with d = s - (c + mean) w. */
        float sum[MOMENTS][LANES];
        uint number[LANES];
        for (int m = 0; m < MOMENTS; m++)
            for (int lane = 0; lane < LANES; lane++) sum[m][lane] = 0.0f;
        for (int lane = 0; lane < LANES; lane++) number[lane] = 0;
        const int zero_stays = (c + mean) * mean_weight < 10.0f;

        for (int from = first + me * LANES; from < last; from += BLOCK * LOCAL_SIZE * LANES) {
            float part[MOMENTS][LANES];
            for (int m = 0; m < MOMENTS; m++)
                for (int lane = 0; lane < LANES; lane++) part[m][lane] = 0.0f;
            const int to = min(last, from + BLOCK * LOCAL_SIZE * LANES);
            for (int k = from; k < to; k += LOCAL_SIZE * LANES) {
                for (int lane = 0; lane < LANES; lane++) {
                    const float a = above[k + lane], w = weight[k + lane];
                    const float s = fma(c, w, a);
                    const int below = (a <= high * w) | (s <= floor_count);
                    const int over = (a >= low * w) | ((s == 0.0f) & zero_stays);
                    const int in = below & over; /* NaN is in neither */
                    const float d = in ? fma(-mean, w, a) : 0.0f;
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
        mean += shift;
        v = (c + mean) * omega;
        if (same || cycle == cycles) break;

#if POISSON_CLIP
        const float std = sqrt(fmax(v, 0.0f) / omega2);
#else
        const float std = sqrt(vv / omega2);
#endif
        const float reach = (clip > 0.0f ? clip : chauvenet(n)) * std;
        low = fmax(low, mean - reach);
        high = fmin(high, mean + reach);
        const float level = (c + mean) * mean_weight;
        floor_count = level < 10.0f ? reached_by_chance((c + mean) * heaviest, n) : -INFINITY;
    }

    /* 5. The excess variance. Up to 1.3 it is that of the core of the ring, within 3 std, where the feet of Bragg peaks that
     * clipping left do not reach (a Gaussian has 0.9733 of its variance there); from 1.7 on, or below 2 counts, that
     * of all that clipping left. */
    const float all = v > 0.0f ? vv / v : 1.0f;
    float excess = all;
    if ((c + mean) * mean_weight >= 2.0f && n > 0.0f && all < 1.7f) {
        const float reach = 3.0f * sqrt(vv / omega2);
        float squares = 0.0f, weights = 0.0f;
        for (int from = first + me * LANES; from < last; from += BLOCK * LOCAL_SIZE * LANES) {
            float part[2][LANES];
            for (int lane = 0; lane < LANES; lane++) part[0][lane] = part[1][lane] = 0.0f;
            const int to = min(last, from + BLOCK * LOCAL_SIZE * LANES);
            for (int k = from; k < to; k += LOCAL_SIZE * LANES) {
                for (int lane = 0; lane < LANES; lane++) {
                    const float w = weight[k + lane], d = fma(-mean, w, above[k + lane]);
                    const int in = fabs(d) <= reach * w; /* not for NaN */
                    part[0][lane] += in ? d * d : 0.0f;
                    part[1][lane] += in ? w : 0.0f;
                }
            }
            for (int lane = 0; lane < LANES; lane++) squares += part[0][lane], weights += part[1][lane];
        }
        squares = group_sum(squares, slot);
        weights = group_sum(weights, slot);
        const float core = weights > 0.0f ? squares / (0.9733f * (c + mean) * weights) : 1.0f;
        excess = mix(core, all, clamp((all - 1.3f) / 0.4f, 0.0f, 1.0f));
    }
    if (me == 0) {
        __global float *out = sums + 8 * ring;
        out[0] = n;
        out[1] = mean;
        out[2] = omega;
        out[3] = omega2;
        out[4] = vv;
        out[5] = c;
        out[6] = fractions;
        out[7] = excess;
    }
}

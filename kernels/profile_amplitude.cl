/* profile_amplitude.cl - amplitude of a known profile in the pixels of every reflection.
 *
 * What      J = sum P (I - B) / v / sum P^2 / v with v = V + max(J', 0) P, J' V the variance without signal, J' the model or, round after round from even
 *           weights on, J itself; its variance, with that of the background ring
 * Launch    one work-group of LOCAL_SIZE per reflection
 * In        counts     [pixels]      I, any finite value where the profile is 0
 *           profile    [pixels]      P, share of the reflection in each pixel; 0 = not used
 *           start      [n + 1]       reflection r has the pixels start[r] .. start[r + 1] - 1
 *           background [n]           B, mean of its ring, counts per pixel
 *           expected_background [n]  expected variance of a pixel without signal, above 0
 *           ring_pixels [n]          pixels of the ring; 0 or less = none
 *           model      [n]           expected intensity; NaN = not known
 *           iterations               rounds where the model is not known
 * Out       result     [3][n]        intensity, its variance, its variance without signal; NaN without pixels or ring
 * Defines   LOCAL_SIZE, a power of two; LANES = 1 | 8, pixels that a work-item adds side by side
 * Exact     float; 1e-5 of the sum of |P (I - B) / v|, always in the same order
 * Limits    pixels < 2^31; counts that a float holds (whole numbers to 2^24)
 * Method    Diamond (1969), Acta Cryst. A25, 43, with expected variances: crystint/stills/integration/amplitude.py
 * Oracle    tests/oracles/stills_amplitude.py
 */
#include "reduce.h"

#if LANES == 1
typedef float floats;
#define LOAD(array, place) ((array)[place])
#define LANE_SUM(x) (x)
#else
typedef float8 floats;
#define LOAD(array, place) vload8(0, (array) + (place))
#define LANE_SUM(x) dot((x).lo + (x).hi, (float4)(1.0f))
#endif

/* Sums of w (I - B), w P and w over the pixels, w = P / (dark + signal P). */
void weighted_sums(float *sums, __global const float *counts, __global const float *profile, const int pixels, const float background,
                   const float dark, const float signal, __local float *slot)
{
    const int me = get_local_id(0), whole = pixels / LANES * LANES;
    floats top = 0.0f, bottom = 0.0f, cross_sum = 0.0f;
    for (int k = me * LANES; k < whole; k += LOCAL_SIZE * LANES) {
        const floats p = LOAD(profile, k), w = p / (dark + signal * p);
        top += w * (LOAD(counts, k) - background);
        bottom += w * p;
        cross_sum += w;
    }
    sums[0] = LANE_SUM(top), sums[1] = LANE_SUM(bottom), sums[2] = LANE_SUM(cross_sum);
    for (int k = whole + me; k < pixels; k += LOCAL_SIZE) {
        const float p = profile[k], w = p / (dark + signal * p);
        sums[0] += w * (counts[k] - background);
        sums[1] += w * p;
        sums[2] += w;
    }
    group_sums(sums, 3, slot);
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void profile_amplitude(__global const float *counts,
                       __global const float *profile,
                       __global const int *start,
                       __global const float *background,
                       __global const float *expected_background,
                       __global const float *ring_pixels,
                       __global const float *model,
                       const int iterations,
                       const int n,
                       __global float *result)
{
    __local float slot[3 * LOCAL_SIZE];
    const int reflection = get_group_id(0), first = start[reflection], pixels = start[reflection + 1] - first;
    const float b = background[reflection], v = expected_background[reflection], expected = model[reflection];
    const int known = !isnan(expected), rounds = known ? 1 : iterations;
    const float share = v / ring_pixels[reflection];
    counts += first;
    profile += first;
    float sums[3];
    weighted_sums(sums, counts, profile, pixels, b, v, 0.0f, slot);
    const float even = sums[2] / sums[1], without = 1.0f / sums[1] + even * even * share;
    const int good = sums[1] > 0.0f && ring_pixels[reflection] > 0.0f;
    for (int turn = 0; turn < rounds; turn++)
        weighted_sums(sums, counts, profile, pixels, b, v, fmax(known ? expected : sums[0] / sums[1], 0.0f), slot);
    if (get_local_id(0) == 0) {
        const float cross_share = sums[2] / sums[1];
        result[reflection] = good ? sums[0] / sums[1] : NAN;
        result[n + reflection] = good ? 1.0f / sums[1] + cross_share * cross_share * share : NAN;
        result[2 * n + reflection] = good ? without : NAN;
    }
}

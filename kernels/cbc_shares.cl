/* cbc_shares.cl - what the rows of every convergent-beam streak bring into the regression of chi.
 *
 * What      numerator   f^2 (I - background - sum of b) y / sum of y over the rows of the pixel, y = |q|^2 a (evenly, where
 *                       all y are 0); 0 where the denominator is 0
 *           denominator |q|^2 f^4
 * Launch    one work-group of LOCAL_SIZE per streak
 * In        amplitude, above, link, shared, start, reflection, b, q2   as cbc_streak_sums.cl
 *           profile     [rows + 16]  f^2
 *           rank        [rows + 16]  where a row is in the order of frames and cells
 * Out       numerator   [rows + 16]  in that order
 *           denominator [rows + 16]
 * Defines   LOCAL_SIZE; LANES = 1
 * Exact     float: 1e-6 relative
 * Limits    rows < 2^31; f^2 above 1e-15 or 0, so that f^4 is a number in single precision
 * Method    crystint/cbc/scaling/sums.py, shares
 * Oracle    tests/oracles/cbc_scaling.py
 */
#include "cbc_rows.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void cbc_shares(__global const float *amplitude,
                __global const float *above,
                __global const int *link,
                __global const int2 *shared,
                __global const int *start,
                __global const int *reflection,
                __global const float *b,
                __global const float *q2,
                __global const float *profile,
                __global const int *rank,
                __global float *numerator,
                __global float *denominator)
{
    const int streak = get_group_id(0), last = start[streak + 1];
    const float strength = q2[reflection[streak]], intercept = b[streak];
    for (int k = start[streak] + get_local_id(0); k < last; k += LOCAL_SIZE) {
        const float f2 = profile[k], below = strength * f2 * f2;
        float intercepts = intercept, share = 1.0f;
        if (link[k] >= 0) {
            float total = 0.0f;
            int rows = 0;
            intercepts = 0.0f;
            for (int e = link[k], more = 1; more; e++, rows++) {
                const int2 one = shared[e];
                const int other = STREAK(one);
                total += q2[reflection[other]] * amplitude[one.x];
                intercepts += b[other];
                more = one.y >= 0;
            }
            share = total > 0.0f ? strength * amplitude[k] / total : 1.0f / (float)rows;
        }
        numerator[rank[k]] = below > 0.0f ? (above[k] - intercepts) * share * f2 : 0.0f;
        denominator[rank[k]] = below;
    }
}

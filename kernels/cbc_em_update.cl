/* cbc_em_update.cl - a step of expectation maximisation from the sums of convergent-beam streaks.
 *
 * What      |q_h|^2 <- |q_h|^2 sum ( a I / lambda ) / sum ( a ) over the streaks of h, and not below FAINTEST times the
 *           largest; b_s <- b_s sum ( I / lambda ) / rows. A reflection without any a stays as it is.
 * Launch    one work-group of LOCAL_SIZE: there are few sums, and the largest |q|^2 is of all
 * In        sums         [3][streaks]      of cbc_streak_sums.cl, CRITERION 0
 *           start        [streaks + 1]     first row of each streak
 *           member_start [reflections + 1] reflection h has the streaks member[member_start[h]] ..
 *           member       [streaks]
 *           streaks, reflections
 *           intercepts                     0 = b stay as they are
 * Out       exposure     [reflections]     sum of a
 *           b            [streaks]         in place
 *           q2           [reflections]     in place
 * Defines   LOCAL_SIZE, a power of two; LANES = 1; FAINTEST: crystint/cbc/scaling/sums.py
 * Exact     float, with rounding errors carried along: 1e-6 relative; always in the same order
 * Limits    streaks < 2^29
 * Method    crystint/cbc/scaling/sums.py, em_step
 * Oracle    tests/oracles/cbc_scaling.py
 */
#include "cbc_rows.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void cbc_em_update(__global const float *sums,
                   __global const int *start,
                   __global const int *member_start,
                   __global const int *member,
                   const int streaks,
                   const int reflections,
                   const int intercepts,
                   __global float *exposure,
                   __global float *b,
                   __global float *q2)
{
    __local float slot[LOCAL_SIZE];
    const int me = get_local_id(0);
    float largest = 0.0f;
    for (int h = me; h < reflections; h += LOCAL_SIZE) {
        float top = 0.0f, top_rest = 0.0f, bottom = 0.0f, bottom_rest = 0.0f;
        for (int k = member_start[h]; k < member_start[h + 1]; k++) {
            ADD(top, top_rest, sums[member[k]]);
            ADD(bottom, bottom_rest, sums[2 * streaks + member[k]]);
        }
        exposure[h] = bottom;
        if (bottom > 0.0f) q2[h] *= top / bottom;
        largest = fmax(largest, q2[h]);
    }
    slot[me] = largest;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < LOCAL_SIZE; i++) largest = fmax(largest, slot[i]);
    for (int h = me; h < reflections; h += LOCAL_SIZE)
        if (exposure[h] > 0.0f) q2[h] = fmax(q2[h], FAINTEST * largest);
    if (intercepts)
        for (int s = me; s < streaks; s += LOCAL_SIZE) b[s] *= sums[streaks + s] / (float)(start[s + 1] - start[s]);
}

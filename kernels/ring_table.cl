/* ring_table.cl - background and spread of every ring, from the sums of ring_statistics.cl.
 *
 * What      mean, excess variance, other spread and standard error of each ring
 * Launch    one work-group of LOCAL_SIZE per frame
 * In        sums   [frames][rings][8]  of ring_statistics.cl
 *           rings                      number of rings
 * Out       table  [frames][rings]     (mean, phi, spread that is not counting, fractions), NaN = no background
 *           sem    [frames][rings]     standard error of the mean
 * Defines   AZIMUTHAL = 1 for that error model; LOCAL_SIZE
 * Exact     in double precision, as the host does it (crystint/ops/background.py, threshold.py): both give the same bits
 * Limits    needs a device with double precision
 * Method    docs/background.md
 * Oracle    tests/oracles/significance.py
 */
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#pragma OPENCL FP_CONTRACT OFF
#include "group_barrier.h"
#include "reduce.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_table(__global const float *sums, const int rings, __global float4 *table, __global float *sem)
{
    __local float slot[LOCAL_SIZE];
    const int number = get_group_id(0), me = get_local_id(0);
    sums += 8 * number * rings;
    table += number * rings;
    sem += number * rings;

    float fractions = 0.0f;
    for (int r = me; r < rings; r += LOCAL_SIZE) fractions += sums[8 * r + 6];
    group_sums(&fractions, 1, slot);
    const int integrating = fractions > 0.0f;

    float some = 0.0f; /* whether a ring has a spread beyond that of its counts */
    for (int r = me; r < rings; r += LOCAL_SIZE) {
        __global const float *s = sums + 8 * r;
        const double mean = (double)s[5] + (double)s[1], omega = s[2], omega2 = s[3], azimuthal = s[4];
        const double poisson = fmax(mean * omega, 0.0);
        double additive = 0.0;
        if (integrating) additive = fmax(azimuthal - poisson, 0.0) / omega2;
        float4 row = {(float)mean, 0.0f, 0.0f, 0.0f};
#if AZIMUTHAL
        row.z = (float)sqrt(azimuthal / omega2);
        sem[r] = (float)(sqrt(azimuthal) / omega);
#else
        row.y = (float)(integrating ? 1.0 : fmax((double)s[7], 1.0));
        row.z = (float)sqrt(additive);
        sem[r] = (float)(sqrt(poisson) / omega);
#endif
        if (s[0] > 0.0f && additive > 0.0) some = 1.0f;
        table[r] = s[0] > 0.0f ? row : (float4)(NAN);
    }
    group_sums(&some, 1, slot);
    const int continuous = some > 0.0f;
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    for (int r = me; r < rings; r += LOCAL_SIZE)
        if (continuous && !isnan(table[r].x)) table[r].w = 1.0f;
}

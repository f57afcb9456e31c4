/* ring_reach.cl - how far the counts of each ring must reach to be significant, whatever the pixel.
 *
 * What      the threshold of the heaviest pixel of the ring over the lowest background of its neighbours, and the opposite
 * Launch    one work-group of LOCAL_SIZE per frame
 * In        table  [frames][rings]  (mean, phi, spread that is not counting, fractions) of each ring
 *           rings                   number of rings
 *           about  [rings]          .y, .z = largest and smallest normalization in the ring
 *           lost   [frames][rings]  of ring_statistics.cl
 *           curve, k, noise2        of the threshold (significance.h)
 * Out       reach  [frames][rings]  normalized counts up to which no pixel of the ring is significant, and above which
 *                                   all are; NaN = no background
 *           count  [frames][2]      set to 0, and to the number of rings with unusable pixels
 * Defines   CURVE_* (significance.h); LOCAL_SIZE
 * Exact     bounds; the pixels between them are tested one by one
 * Limits    none
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "reduce.h"
#include "significance.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_reach(__global const float4 *table,
                const int rings,
                __global const float4 *about,
                __global const uint *lost,
                __global const float *curve,
                const float k,
                const float noise2,
                __global float2 *reach,
                __global uint *count)
{
    __local float slot[LOCAL_SIZE];
    const int number = get_group_id(0), me = get_local_id(0);
    float rings_lost = 0.0f;
    for (int r = me; r < rings; r += LOCAL_SIZE) {
        reach[number * rings + r] = reach_of(table + number * rings, rings, r, about[r].y, about[r].z,
                                              noise2, k, curve);
        rings_lost += lost[number * rings + r];
    }
    group_sums(&rings_lost, 1, slot);
    if (me == 0) {
        count[2 * number] = 0;
        count[2 * number + 1] = (uint)rings_lost;
    }
}

/* spot_reach.cl - how far the counts of each ring must reach to be a maximum, part of a spot, and surely part of one.
 *
 * What      ring_reach.cl for the three thresholds of peaks at once
 * Launch    work-groups of LOCAL_SIZE that share the rings; second dimension: one frame after the other
 * In        table, rings, about, noise2: as ring_reach.cl
 *           curve, k; pick_curve, pick_k; sure_curve, sure_k: of SNR_peak, SNR_pick, and the surer threshold (significance.h)
 * Out       reach, pick_reach  [frames][rings]  as ring_reach.cl
 *           levels [frames][rings]   pick_reach, and the same of the surer threshold
 *           state [frames][STATE]    set to 0 (spot_share.h)
 * Defines   CURVE_* (significance.h); LOCAL_SIZE
 * Exact     bounds; the pixels between them are tested one by one
 * Limits    none
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
#include "significance.h"
#include "spot_share.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void spot_reach(__global const float4 *table,
                const int rings,
                __global const float4 *about,
                __global const float *curve,
                const float k,
                __global const float *pick_curve,
                const float pick_k,
                __global const float *sure_curve,
                const float sure_k,
                const float noise2,
                __global float2 *reach,
                __global float2 *pick_reach,
                __global float4 *levels,
                __global uint *state)
{
    const int number = get_group_id(1), first = number * rings;
    const int2 mine = share_of(rings);
    for (int r = mine.x + (int)get_local_id(0); r < mine.y; r += LOCAL_SIZE) {
        const float most = about[r].y, least = about[r].z;
        reach[first + r] = reach_of(table + first, rings, r, most, least, noise2, k, curve);
        const float2 pick = reach_of(table + first, rings, r, most, least, noise2, pick_k, pick_curve);
        pick_reach[first + r] = pick;
        levels[first + r] = (float4)(pick, reach_of(table + first, rings, r, most, least, noise2, sure_k, sure_curve));
    }
    if (get_group_id(0) == 0 && get_local_id(0) == 0)
        for (int i = 0; i < STATE; i++) state[STATE * number + i] = 0;
}

/* score_vectors.cl - how well reciprocal-space spots lie on planes that real-space vectors of one length count.
 *
 * What      score of a direction u: sum over spots of (1 - (d / NEAR)^2)^2 where d, the distance of length q . u to the nearest whole
 *           number, is below NEAR; the best direction of each patch
 * Launch    one work-group of LOCAL_SIZE for each patch of PATCH directions; frames = the second dimension
 * In        spots      [spots]          q in 1/angstrom, and |q|
 *           first      [frames + 1]     frame f has the spots first[f] .. first[f + 1] - 1
 *           across, along, upward [patches * PATCH]  components of unit vectors
 *           length                      of the vectors, angstrom
 *           reach                       spots with |q| above are passed over: directions stand too far apart for them
 *           patches
 * Out       best       [frames][patches]  score
 *           which      [frames][patches]  number of the direction, the lowest of equal ones
 * Defines   PATCH, a multiple of 2 LANES LOCAL_SIZE; NEAR; LANES = 1 | 16; LOCAL_SIZE, a power of two; one of the two is 1
 * Exact     float, 1e-5 of the score
 * Limits    spots < 2^31
 * Method    docs/indexing.md; TORO and XGANDALF score with other functions of the same distance
 * Oracle    tests/oracles/lattice.py
 */
#include "best_of_group.h"
#include "lattice.h"

static inline floats closeness(const floats x)
{
    const floats d = off_whole(x) * (1.0f / NEAR), w = fmax((floats)(0.0f), (floats)(1.0f) - d * d);
    return w * w;
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void score_vectors(__global const float4 *spots,
                   __global const int *first,
                   __global const float *across,
                   __global const float *along,
                   __global const float *upward,
                   const float length,
                   const float reach,
                   const int patches,
                   __global float *best,
                   __global int *which)
{
    __local float slot[LOCAL_SIZE];
    __local int places[LOCAL_SIZE];
    const int frame = get_global_id(1), patch = get_group_id(0), me = get_local_id(0);
    const int from = first[frame], to = first[frame + 1];
    float top = -1.0f;
    int at = 0;
    for (int k = 2 * me * LANES; k < PATCH; k += 2 * LOCAL_SIZE * LANES) {
        const int o = patch * PATCH + k;
        const floats x = CONST_FLOATS(across, o) * length, y = CONST_FLOATS(along, o) * length, z = CONST_FLOATS(upward, o) * length;
        const floats x2 = CONST_FLOATS(across, o + LANES) * length, y2 = CONST_FLOATS(along, o + LANES) * length,
                     z2 = CONST_FLOATS(upward, o + LANES) * length;
        floats sum = 0.0f, sum2 = 0.0f;
        for (int i = from; i < to; i++) {
            const float4 q = spots[i];
            if (q.w > reach) continue;
            sum += closeness(q.x * x + q.y * y + q.z * z);
            sum2 += closeness(q.x * x2 + q.y * y2 + q.z * z2);
        }
        for (int lane = 0; lane < LANES; lane++)
            if (LANE(sum, lane) > top) top = LANE(sum, lane), at = o + lane;
        for (int lane = 0; lane < LANES; lane++)
            if (LANE(sum2, lane) > top) top = LANE(sum2, lane), at = o + LANES + lane;
    }
    best_of_group(&top, &at, slot, places);
    if (me == 0) {
        best[frame * patches + patch] = top;
        which[frame * patches + patch] = at;
    }
}

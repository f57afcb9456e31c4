/* score_turns.cl - a lattice turned about one of its vectors, scored against the spots.
 *
 * What      score of an angle: sum over spots of (1 - D)^2 where D, SHARE of the squared distance of the three indices to whole numbers
 *           in units of NEAR, is below 1; the best angle of each sector
 * Launch    one work-group of LOCAL_SIZE for each sector of SECTOR angles of each vector of a frame; frames = the second dimension
 * In        spots      [spots]          q in 1/angstrom; the fourth is not used
 *           first      [frames + 1]     frame f has the spots first[f] .. first[f + 1] - 1
 *           vector     [frames][3][vectors]  the vectors turned about, angstrom
 *           kind       [vectors]        which of the basis vectors each is
 *           other      [kinds][2]       the two others in a frame whose third axis is that vector, angstrom
 *           cosine, sine [sectors * SECTOR]  of the angles
 *           vectors, sectors
 * Out       best       [frames][vectors][sectors]  score
 *           which      [frames][vectors][sectors]  number of the angle, the lowest of equal ones
 * Defines   SECTOR, a multiple of LANES LOCAL_SIZE; NEAR, SHARE; LANES = 1 | 16; LOCAL_SIZE, a power of two; one of the two is 1
 * Exact     float, 1e-5 of the score
 * Limits    spots < 2^31
 * Method    docs/indexing.md; the two axes across a vector are those of `axes_across` in crystint/ops/lattice_search.py
 * Oracle    tests/oracles/lattice.py
 */
#include "best_of_group.h"
#include "lattice.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void score_turns(__global const float4 *spots,
                 __global const int *first,
                 __global const float *vector,
                 __global const int *kind,
                 __global const float4 *other,
                 __global const float *cosine,
                 __global const float *sine,
                 const int vectors,
                 const int sectors,
                 __global float *best,
                 __global int *which)
{
    __local float slot[LOCAL_SIZE];
    __local int places[LOCAL_SIZE];
    const int frame = get_global_id(1), k = get_group_id(0) / sectors, sector = get_group_id(0) % sectors, me = get_local_id(0);
    const int from = first[frame], to = first[frame + 1];
    vector += (size_t)frame * 3 * vectors + k;
    const float3 v = (float3)(vector[0], vector[vectors], vector[2 * vectors]), z = normalize(v);
    const float3 t = fabs(z.x) < 0.6f ? (float3)(1.0f, 0.0f, 0.0f) : (float3)(0.0f, 1.0f, 0.0f);
    const float3 x = normalize(cross(t, z)), y = cross(z, x);
    const float4 b = other[2 * kind[k]], c = other[2 * kind[k] + 1];
    const float scale = SHARE / (NEAR * NEAR);
    float top = -1.0f;
    int at = 0;
    for (int g = me * LANES; g < SECTOR; g += LOCAL_SIZE * LANES) {
        const int o = sector * SECTOR + g;
        const floats co = CONST_FLOATS(cosine, o), si = CONST_FLOATS(sine, o);
        const floats bx = b.x * co - b.y * si, by = b.x * si + b.y * co, cx = c.x * co - c.y * si, cy = c.x * si + c.y * co;
        floats sum = 0.0f;
        for (int i = from; i < to; i++) {
            const float3 q = spots[i].xyz;
            const float index = dot(q, v), d = index - rint(index), rest = 1.0f - d * d * scale;
            if (rest <= 0.0f) continue;
            const float qx = dot(q, x), qy = dot(q, y), qz = dot(q, z);
            const floats db = off_whole(bx * qx + by * qy + b.z * qz), dc = off_whole(cx * qx + cy * qy + c.z * qz);
            const floats w = fmax((floats)(0.0f), rest - (db * db + dc * dc) * scale);
            sum += w * w;
        }
        for (int lane = 0; lane < LANES; lane++)
            if (LANE(sum, lane) > top) top = LANE(sum, lane), at = o + lane;
    }
    best_of_group(&top, &at, slot, places);
    if (me == 0) {
        const size_t out = ((size_t)frame * vectors + k) * sectors + sector;
        best[out] = top;
        which[out] = at;
    }
}

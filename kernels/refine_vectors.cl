/* refine_vectors.cl - real-space vectors fitted to the spots that lie near the planes they count.
 *
 * What      least squares of v . q to the nearest whole numbers, round after round with weights 1 - (d / t)^2 below a limit t that
 *           becomes narrower; the length is put back at the end
 * Launch    work-groups of LOCAL_SIZE work-items, each LANES vectors of one frame; frames = the second dimension
 * In        spots      [spots]          q in 1/angstrom; the fourth is not used
 *           first      [frames + 1]     frame f has the spots first[f] .. first[f + 1] - 1
 *           lengths    [vectors]        of the vectors of a frame, angstrom
 *           vectors                     of a frame, a multiple of LANES LOCAL_SIZE
 *           vector     [frames][3][vectors]  components, angstrom
 * Out       vector                      the same, refined
 * Defines   LANES = 1 | 8; LOCAL_SIZE; one of the two is 1
 * Exact     float
 * Limits    spots < 2^31
 * Method    docs/indexing.md. The spots of a still leave one direction nearly free: a weak term holds the vector where it is
 * Oracle    tests/oracles/lattice.py
 */
#include "lattice.h"

#define ROUNDS 5
#define FEWEST 5.0f /* spots */
#define HOLD 1e-4f  /* of the trace */

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void refine_vectors(__global const float4 *spots,
                    __global const int *first,
                    __global const float *lengths,
                    const int vectors,
                    __global float *vector)
{
    const int frame = get_global_id(1), k = get_global_id(0) * LANES;
    vector += (size_t)frame * 3 * vectors + k;
    const floats whole_length = CONST_FLOATS(lengths, k);
    floats v[3] = {FLOATS(vector, 0), FLOATS(vector, vectors), FLOATS(vector, 2 * vectors)};
    for (int round = 0; round < ROUNDS; round++) {
        const float limit = round == 0 ? 0.3f : 0.3f - 0.05f * round;
        floats n[6] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, r[3] = {0.0f, 0.0f, 0.0f}, near = 0.0f;
        for (int i = first[frame]; i < first[frame + 1]; i++) {
            const float4 q = spots[i];
            const floats x = q.x * v[0] + q.y * v[1] + q.z * v[2], whole = rint(x), d = (x - whole) / limit;
            const floats w = fmax((floats)(0.0f), (floats)(1.0f) - d * d);
            near += w > (floats)(0.0f) ? (floats)(1.0f) : (floats)(0.0f);
            n[0] += w * (q.x * q.x), n[1] += w * (q.x * q.y), n[2] += w * (q.x * q.z);
            n[3] += w * (q.y * q.y), n[4] += w * (q.y * q.z), n[5] += w * (q.z * q.z);
            const floats m = w * whole;
            r[0] += m * q.x, r[1] += m * q.y, r[2] += m * q.z;
        }
        const floats hold = HOLD * (n[0] + n[3] + n[5]) + 1e-12f;
        n[0] += hold, n[3] += hold, n[5] += hold;
        for (int i = 0; i < 3; i++) r[i] += hold * v[i];
        floats x[3];
        solve_symmetric(n, r, x);
        const floats size = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
        for (int i = 0; i < 3; i++)
            v[i] = near >= FEWEST && size > 0.8f * whole_length && size < 1.25f * whole_length ? x[i] : v[i];
    }
    const floats back = whole_length / sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int i = 0; i < 3; i++) FLOATS(vector, i * vectors) = v[i] * back;
}

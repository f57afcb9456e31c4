/* refine_lattices.cl - lattices turned and strained on to the spots, and how many spots lie within some distances of their nodes.
 *
 * What      first turns alone: least squares of q - p over spots near their nodes p, in indices; then q = (1 + E) p with all nine
 *           elements of E, whose symmetric part has a prior of `strain`, in 1/angstrom with Tukey's weights
 * Launch    work-groups of LOCAL_SIZE work-items, each LANES lattices of one frame; frames = the second dimension
 * In        spots      [spots]          q in 1/angstrom; the fourth is not used
 *           first      [frames + 1]     frame f has the spots first[f] .. first[f + 1] - 1
 *           radius     [RADII]          ascending, 1/angstrom
 *           spread     [lattices]       expected distance of spots from their nodes, 1/angstrom: weights end at 7.5 to 2.5 of it
 *           widest                      no weight beyond this distance, 1/angstrom
 *           strain                      prior, relative
 *           lattices                    of a frame, a multiple of LANES LOCAL_SIZE
 *           basis      [frames][9][lattices]  vectors a, b, c, angstrom
 * Out       basis                       the same, refined
 *           inside     [frames][RADII][lattices]  spots whose nearest node (not 0 0 0) is within each radius
 * Defines   LANES = 1 | 8; LOCAL_SIZE; one of the two is 1; RADII
 * Exact     float
 * Limits    spots < 2^31
 * Method    docs/indexing.md; J. W. Tukey's biweight; systems of nine are solved by Cholesky's factors
 * Oracle    tests/oracles/lattice.py
 */
#include "lattice.h"

#define TURNS 8
#define STRAINS 6
#define ZERO (floats)(0.0f)
#define ONE (floats)(1.0f)

/* Indices of a spot, as they come out and the nearest whole ones; 0 where those are 0 0 0, 1 elsewhere. */
static inline floats indices_of(const floats *basis, const float4 q, floats *index, floats *whole)
{
    for (int i = 0; i < 3; i++) {
        index[i] = basis[3 * i] * q.x + basis[3 * i + 1] * q.y + basis[3 * i + 2] * q.z;
        whole[i] = rint(index[i]);
    }
    return fmin(ONE, fabs(whole[0]) + fabs(whole[1]) + fabs(whole[2]));
}

static inline void node_of(const floats *dual, const floats *whole, floats *node)
{
    for (int i = 0; i < 3; i++) node[i] = dual[i] * whole[0] + dual[3 + i] * whole[1] + dual[6 + i] * whole[2];
}

/* Turn the vectors of a basis by an angle and about an axis, both in `turn`. */
static inline void turn_basis(floats *basis, const floats *turn)
{
    const floats angle = sqrt(turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2]) + 1e-20f;
    const floats co = cos(angle), s = sin(angle) / angle, c = (ONE - co) / (angle * angle);
    for (int i = 0; i < 9; i += 3) {
        const floats x = basis[i], y = basis[i + 1], z = basis[i + 2], along = c * (turn[0] * x + turn[1] * y + turn[2] * z);
        basis[i] = co * x + s * (turn[1] * z - turn[2] * y) + along * turn[0];
        basis[i + 1] = co * y + s * (turn[2] * x - turn[0] * z) + along * turn[1];
        basis[i + 2] = co * z + s * (turn[0] * y - turn[1] * x) + along * turn[2];
    }
}

static inline void fit_turn(__global const float4 *spots, const int from, const int to, const float limit, floats *basis)
{
    floats dual[9], a[6] = {ZERO, ZERO, ZERO, ZERO, ZERO, ZERO}, g[3] = {ZERO, ZERO, ZERO};
    dual_basis(basis, dual);
    for (int i = from; i < to; i++) {
        const float4 q = spots[i];
        floats index[3], whole[3], p[3];
        floats w = indices_of(basis, q, index, whole);
        node_of(dual, whole, p);
        const floats x = index[0] - whole[0], y = index[1] - whole[1], z = index[2] - whole[2];
        w *= fmax(ZERO, ONE - (x * x + y * y + z * z) / (limit * limit));
        const floats rx = q.x - p[0], ry = q.y - p[1], rz = q.z - p[2];
        a[0] += w * p[0] * p[0], a[1] += w * p[0] * p[1], a[2] += w * p[0] * p[2];
        a[3] += w * p[1] * p[1], a[4] += w * p[1] * p[2], a[5] += w * p[2] * p[2];
        g[0] += w * (p[1] * rz - p[2] * ry), g[1] += w * (p[2] * rx - p[0] * rz), g[2] += w * (p[0] * ry - p[1] * rx);
    }
    const floats trace = a[0] + a[3] + a[5], hold = 1e-6f * trace + 1e-12f;
    const floats n[6] = {trace - a[0] + hold, -a[1], -a[2], trace - a[3] + hold, -a[4], trace - a[5] + hold};
    floats turn[3];
    solve_symmetric(n, g, turn);
    turn_basis(basis, turn);
}

/* x of N x = r by Cholesky's factors, N [9][9] of which the lower half is read and overwritten; r becomes x. */
static inline void solve_nine(floats *n, floats *r)
{
    for (int j = 0; j < 9; j++) {
        floats d = n[9 * j + j];
        for (int k = 0; k < j; k++) d -= n[9 * j + k] * n[9 * j + k];
        d = sqrt(fmax(d, (floats)(1e-6f) * n[9 * j + j]));
        n[9 * j + j] = d;
        for (int i = j + 1; i < 9; i++) {
            floats s = n[9 * i + j];
            for (int k = 0; k < j; k++) s -= n[9 * i + k] * n[9 * j + k];
            n[9 * i + j] = s / d;
        }
        for (int k = 0; k < j; k++) r[j] -= n[9 * j + k] * r[k];
        r[j] /= d;
    }
    for (int j = 8; j >= 0; j--) {
        for (int k = j + 1; k < 9; k++) r[j] -= n[9 * k + j] * r[k];
        r[j] /= n[9 * j + j];
    }
}

static inline void fit_strain(__global const float4 *spots, const int from, const int to, const floats limit, const floats spread,
                              const float strain, floats *basis)
{
    floats dual[9], a[6] = {ZERO, ZERO, ZERO, ZERO, ZERO, ZERO}, e[9], n[81];
    dual_basis(basis, dual);
    for (int i = 0; i < 9; i++) e[i] = ZERO;
    for (int i = from; i < to; i++) {
        const float4 q = spots[i];
        floats index[3], whole[3], p[3];
        floats w = indices_of(basis, q, index, whole);
        node_of(dual, whole, p);
        const floats r[3] = {q.x - p[0], q.y - p[1], q.z - p[2]};
        const floats t = fmax(ZERO, ONE - (r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) / (limit * limit));
        w *= t * t;
        a[0] += w * p[0] * p[0], a[1] += w * p[0] * p[1], a[2] += w * p[0] * p[2];
        a[3] += w * p[1] * p[1], a[4] += w * p[1] * p[2], a[5] += w * p[2] * p[2];
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++) e[3 * j + k] += w * r[j] * p[k];
    }
    /* in units of 1 / spread^2: E = turns and strains; half of the prior of e12 + e21 on each of the two */
    const floats prior = spread * spread / (strain * strain);
    const int place[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    for (int i = 0; i < 81; i++) n[i] = ZERO;
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < 9; k++) n[9 * (3 * j + k / 3) + 3 * j + k % 3] = a[place[k]];
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < 3; k++) {
            n[9 * (3 * j + k) + 3 * j + k] += j == k ? prior : 0.5f * prior + 1e-9f;
            if (j != k) n[9 * (3 * j + k) + 3 * k + j] += 0.5f * prior;
        }
    solve_nine(n, e);
    /* vectors of the strained lattice: B (1 + E)^-1 */
    floats strained[9], back[9], made[9];
    for (int i = 0; i < 9; i++) strained[i] = e[i] + (i % 4 ? ZERO : ONE);
    dual_basis(strained, back); /* rows of the inverse's transpose */
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            made[3 * i + k] = basis[3 * i] * back[3 * k] + basis[3 * i + 1] * back[3 * k + 1] + basis[3 * i + 2] * back[3 * k + 2];
    for (int i = 0; i < 9; i++) basis[i] = made[i];
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void refine_lattices(__global const float4 *spots,
                     __global const int *first,
                     __global const float *radius,
                     __global const float *spread,
                     const float widest,
                     const float strain,
                     const int lattices,
                     __global float *basis,
                     __global float *inside)
{
    const int frame = get_global_id(1), k = get_global_id(0) * LANES, from = first[frame], to = first[frame + 1];
    basis += (size_t)frame * 9 * lattices + k;
    inside += (size_t)frame * RADII * lattices + k;
    floats b[9], dual[9], count[RADII];
    const floats expected = CONST_FLOATS(spread, k);
    for (int i = 0; i < 9; i++) b[i] = FLOATS(basis, i * lattices);
    for (int round = 0; round < TURNS; round++) fit_turn(spots, from, to, 1.6f * (0.32f - 0.22f * round / (TURNS - 1)), b);
    for (int round = 0; round < STRAINS; round++) {
        const floats limit = fmin(2.5f * expected, (floats)(widest)) * (3.0f - 2.0f * round / (STRAINS - 1));
        fit_strain(spots, from, to, limit, expected, strain, b);
    }
    dual_basis(b, dual);
    for (int i = 0; i < RADII; i++) count[i] = ZERO;
    for (int i = from; i < to; i++) {
        const float4 q = spots[i];
        floats index[3], whole[3], p[3];
        const floats there = indices_of(b, q, index, whole);
        node_of(dual, whole, p);
        const floats x = q.x - p[0], y = q.y - p[1], z = q.z - p[2], square = x * x + y * y + z * z;
        for (int j = 0; j < RADII; j++) count[j] += square < radius[j] * radius[j] ? there : ZERO;
    }
    for (int i = 0; i < 9; i++) FLOATS(basis, i * lattices) = b[i];
    for (int i = 0; i < RADII; i++) FLOATS(inside, i * lattices) = count[i];
}

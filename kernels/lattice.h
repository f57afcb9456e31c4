/* lattice.h - vectors, symmetric 3 x 3 systems and bases of LANES lattices side by side.
 *
 * A basis stands as nine values: the components of its three vectors, one vector after the other.
 *
 * Defines   LANES = 1 | 8 | 16
 */
#ifndef LATTICE_H
#define LATTICE_H

#if LANES == 1
typedef float floats;
typedef int ints;
#define LANE(x, lane) (x)
#elif LANES == 8
typedef float8 floats;
typedef int8 ints;
#define LANE(x, lane) (((const float *)&(x))[lane])
#else
typedef float16 floats;
typedef int16 ints;
#define LANE(x, lane) (((const float *)&(x))[lane])
#endif

/* LANES values from any place, or to it. */
typedef floats __attribute__((aligned(4))) loose_floats;
#define FLOATS(array, place) (*(__global loose_floats *)((array) + (place)))
#define CONST_FLOATS(array, place) (*(__global const loose_floats *)((array) + (place)))

/* Distance to the nearest whole number, with its sign. */
static inline floats off_whole(const floats x)
{
    return x - rint(x);
}

/* x of N x = r, N = [n0 n1 n2; n1 n3 n4; n2 n4 n5] */
static inline void solve_symmetric(const floats *n, const floats *r, floats *x)
{
    const floats a = n[3] * n[5] - n[4] * n[4], b = n[2] * n[4] - n[1] * n[5], c = n[1] * n[4] - n[2] * n[3];
    const floats d = n[0] * n[5] - n[2] * n[2], e = n[1] * n[2] - n[0] * n[4], f = n[0] * n[3] - n[1] * n[1];
    const floats scale = (floats)(1.0f) / (n[0] * a + n[1] * b + n[2] * c);
    x[0] = (a * r[0] + b * r[1] + c * r[2]) * scale;
    x[1] = (b * r[0] + d * r[1] + e * r[2]) * scale;
    x[2] = (c * r[0] + e * r[1] + f * r[2]) * scale;
}

/* The dual basis, a* = b x c / V and so on. */
static inline void dual_basis(const floats *basis, floats *dual)
{
    for (int i = 0; i < 3; i++) {
        const floats *u = basis + 3 * ((i + 1) % 3), *v = basis + 3 * ((i + 2) % 3);
        dual[3 * i] = u[1] * v[2] - u[2] * v[1];
        dual[3 * i + 1] = u[2] * v[0] - u[0] * v[2];
        dual[3 * i + 2] = u[0] * v[1] - u[1] * v[0];
    }
    const floats scale = (floats)(1.0f) / (basis[0] * dual[0] + basis[1] * dual[1] + basis[2] * dual[2]);
    for (int i = 0; i < 9; i++) dual[i] *= scale;
}

#endif

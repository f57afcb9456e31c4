/* cbc_rows.h - rows of convergent-beam streaks, LANES of them side by side, and the pixels that streaks share.
 *
 * A row whose pixel no other row has is linked to -1. Else it is linked to the first of the pixel's entries in `shared`,
 * which name the rows of the pixel in ascending order: (row, streak), the streak of the last one with its bits inverted.
 *
 * Defines   LANES = 1 | 16
 */
#ifndef CBC_ROWS_H
#define CBC_ROWS_H

#if LANES == 1
typedef float floats;
typedef int ints;
#define MASK(condition) (-(condition))
#define LANE 0
#define LANE_SUM(x) (x)
#define TO_FLOATS convert_float
#else
typedef float16 floats;
typedef int16 ints;
#define MASK(condition) (condition)
#define LANE ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define LANE_SUM(x) dot(((x).lo.lo + (x).lo.hi) + ((x).hi.lo + (x).hi.hi), (float4)(1.0f))
#define TO_FLOATS convert_float16
#endif

/* LANES values from any place. */
typedef floats __attribute__((aligned(4))) loose_floats;
typedef ints __attribute__((aligned(4))) loose_ints;
#define FLOATS(array, place) (*(__global const loose_floats *)((array) + (place)))
#define INTS(array, place) (*(__global const loose_ints *)((array) + (place)))

/* Add x to a sum whose rounding errors `rest` carries along (Kahan 1965, Comm. ACM 8, 40). */
#define ADD(sum, rest, x)                      \
    {                                          \
        const floats term_ = (x) - rest;       \
        const floats total_ = sum + term_;     \
        rest = (total_ - sum) - term_;         \
        sum = total_;                          \
    }

#define STREAK(entry) ((entry).y < 0 ? ~(entry).y : (entry).y)

#endif

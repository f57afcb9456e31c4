/* spot_window.h - the square of pixels around a maximum, a row of bits for each of its rows.
 *
 * Defines   REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5
 */
#ifndef SPOT_WINDOW_H
#define SPOT_WINDOW_H

#define FAR 4 /* pixels from a maximum in which the outskirts of its spot are looked for */
#define SIDE (2 * FAR + 1)
#define ROW ((1 << SIDE) - 1)

/* Bits of a row that the neighbourhood covers. */
static inline uint core_row(const int i)
{
    return abs(i - FAR) <= REACH ? ((1u << (2 * REACH + 1)) - 1) << (FAR - REACH) : 0;
}

/* A row of the set and of those beside it, one pixel wider on all sides. */
static inline uint wider_row(const uint *rows, const int i)
{
    const uint three = rows[i] | (i > 0 ? rows[i - 1] : 0) | (i < SIDE - 1 ? rows[i + 1] : 0);
    return (three | three << 1 | three >> 1) & ROW;
}

#endif

/* spot_claims.h - which pixels of its window a member of a spot has for itself.
 *
 * Defines   REACH (spot_window.h)
 */
#ifndef SPOT_CLAIMS_H
#define SPOT_CLAIMS_H

#include "spot_window.h"

/* The members of all spots of a frame; the parameters of spot_sums.cl. */
typedef struct {
    __global const uint *member;
    __global const int *spot;
    __global const ushort *skirt, *wide;
    int n;
} Members;

/* A row of another window, moved to where it lies in this one: `by` columns to the right. */
static inline uint moved_row(const uint row, const int by)
{
    return (by >= 0 ? row << by : row >> -by) & ROW;
}

/* First member at or after a pixel number. */
static inline int first_member(__global const uint *member, const int members, const uint pixel)
{
    int low = 0, high = members;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (member[middle] < pixel) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Bits of a row of outskirts that another member has a better claim to. */
static inline uint lost_bits(uint both, const int i, const int dy, const int dx, const int wins_ties)
{
    uint lost = 0;
    for (; both != 0; both &= both - 1) {
        const int j = 31 - clz(both & -both);
        const int mine = (i - FAR) * (i - FAR) + (j - FAR) * (j - FAR);
        const int other = (i - FAR - dy) * (i - FAR - dy) + (j - FAR - dx) * (j - FAR - dx);
        if (other < mine || (other == mine && wins_ties)) lost |= 1u << j;
    }
    return lost;
}

/* Rows of bits of the pixels that member m, of spot s, has for itself: of its neighbourhood, and of its two kinds of outskirts.
 * What belongs to whom: see spot_sums.cl. */
static inline void own_pixels(const Members *all, const int m, const int s, const int slow, const int fast,
                              const int height, const int width, uint *core, uint *near, uint *far)
{
    for (int i = 0; i < SIDE; i++) {
        core[i] = core_row(i);
        near[i] = all->skirt[m * SIDE + i];
        far[i] = all->wide[m * SIDE + i];
    }
    const uint from = (uint)max(slow - 2 * FAR, 0) * (uint)width;
    const uint to = (uint)min(slow + 2 * FAR + 1, height) * (uint)width;
    for (int o = first_member(all->member, all->n, from); o < all->n && all->member[o] < to; o++) {
        const int dy = (int)(all->member[o] / width) - slow, dx = (int)(all->member[o] % width) - fast;
        if (o == m || abs(dx) > 2 * FAR) continue;
        const int earlier = all->spot[o] < s || (all->spot[o] == s && o < m);
        for (int i = max(dy, 0); i < min(SIDE + dy, SIDE); i++) {
            const uint theirs = moved_row(core_row(i - dy), dx);
            near[i] &= ~theirs;
            far[i] &= ~theirs;
            if (all->spot[o] == s && o < m) core[i] &= ~theirs;
            near[i] &= ~lost_bits(near[i] & moved_row(all->skirt[o * SIDE + i - dy], dx), i, dy, dx, earlier);
            far[i] &= ~lost_bits(far[i] & moved_row(all->wide[o * SIDE + i - dy], dx), i, dy, dx, earlier);
        }
    }
}

#endif

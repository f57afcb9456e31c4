/* spot_members.h - the members of the spots of a frame, and which pixels of its window each has for itself.
 *
 * Defines   those of spot_window.h
 */
#ifndef SPOT_MEMBERS_H
#define SPOT_MEMBERS_H

#include "spot_window.h"

/* The members of all spots of a frame, as order_members.cl leaves them. */
typedef struct {
    __global const uint *pixel;  /* ascending */
    __global const int *spot;    /* -1: the same pixel is a member of the same spot already */
    __global const int *row;     /* first member of each row of the frame */
    __global const uint *region; /* rows of bits: outskirts of both kinds, and pixels above SNR_pick */
} Members;

/* A row of another window, moved to where it lies in this one: `by` columns to the right. */
static inline uint moved_row(const uint row, const int by)
{
    return (by >= 0 ? row << by : row >> -by) & ROW;
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

/* Whether the window of a member overlaps that of another one, as far as this item looks. */
static inline int has_company(const Members *all, const int m, const int slow, const int fast, const int height, const int width)
{
    int company = 0;
    for (int y = max(slow - 2 * FAR, 0) + (int)get_local_id(0); y <= min(slow + 2 * FAR, height - 1); y += LOCAL_SIZE) {
        const uint below = (uint)y * (uint)width + (uint)fast;
        for (int o = all->row[y]; o < all->row[y + 1]; o++) company |= o != m && abs((int)(all->pixel[o] - below)) <= 2 * FAR;
    }
    return company;
}

/* Fill the rows of bits of the pixels that member m, of spot s, has for itself: of its neighbourhood, and of its two kinds of
 * outskirts; and of those above SNR_pick. What belongs to whom: see spot_sums.cl. */
static inline void own_pixels(SHARED Window *window, const Members *all, const int m, const int s, const int slow, const int fast,
                              const int height, const int width)
{
    EACH_ROW(i)
    {
        const uint mine = all->region[m * SIDE + i];
        window->core[i] = core_row(i);
        window->skirt[i] = mine & ROW;
        window->wide[i] = mine >> SIDE & ROW;
        window->picked[i] = mine >> 2 * SIDE;
    }
    for (int y = max(slow - 2 * FAR, 0); y <= min(slow + 2 * FAR, height - 1); y++) {
        const int dy = y - slow, last = all->row[y + 1];
        for (int o = all->row[y]; o < last; o++) {
            const int dx = (int)(all->pixel[o] - (uint)y * (uint)width) - fast;
            if (o == m || abs(dx) > 2 * FAR || all->spot[o] < 0) continue;
            const int earlier = all->spot[o] < s || (all->spot[o] == s && o < m);
            EACH_ROW(i)
            {
                if (i < dy || i >= SIDE + dy) continue;
                const uint theirs = moved_row(core_row(i - dy), dx), other = all->region[o * SIDE + i - dy];
                window->skirt[i] &= ~theirs;
                window->wide[i] &= ~theirs;
                if (all->spot[o] == s && o < m) window->core[i] &= ~theirs;
                window->skirt[i] &= ~lost_bits(window->skirt[i] & moved_row(other & ROW, dx), i, dy, dx, earlier);
                window->wide[i] &= ~lost_bits(window->wide[i] & moved_row(other >> SIDE & ROW, dx), i, dy, dx, earlier);
            }
        }
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
}

#endif

/* spot_record.h - what a spot holds, added up pixel by pixel, and its record.
 *
 * A record has RECORD numbers: sums of v - bg, its background variance, 1, (v - bg) / w over neighbourhoods and wide outskirts; of
 * v - bg, max(v - bg, 0), and both times the distance from the head (slow, fast) over neighbourhoods and skirts; pixels above SNR_pick
 * in the neighbourhoods; sums over neighbourhoods and skirts of the variance of a pixel, that times the distance (slow, fast), and
 * times its square; at the head: expected counts, sem, phi, and the variance in counts^2 that does not come from counting; flags: 1
 * unusable pixel, 2 border, 4 gap, 8 saturated, 16 several panels; box of all pixels in the frame, slow and fast:
 * 4096 (first + 2048) + last + 2048, from the head.
 *
 * Defines   those of spot_window.h; REAL = float | double
 */
#ifndef SPOT_RECORD_H
#define SPOT_RECORD_H

#include "spot_window.h"

#define RECORD 23
#define ADDED 16

/* What the pixels of an item add to a spot. */
typedef struct {
    REAL of[ADDED];
    int flags, lowest_panel, highest_panel;
    int first_slow, last_slow, first_fast, last_fast; /* from the head */
} Sums;

/* What items put together. */
typedef struct {
    REAL slot[LOCAL_SIZE];
    int flags, lowest_panel, highest_panel, first_slow, last_slow, first_fast, last_fast;
} Joined;

static inline Sums no_sums(void)
{
    Sums sums;
    for (int i = 0; i < ADDED; i++) sums.of[i] = 0;
    sums.flags = 0;
    sums.lowest_panel = 32767, sums.highest_panel = -1;
    sums.first_slow = sums.first_fast = 2047;
    sums.last_slow = sums.last_fast = -2048;
    return sums;
}

/* Add one pixel of a window, which the member has for itself. `slow`, `fast`: of the member; dy, dx: of the pixel from the head. */
static inline void add_pixel(Sums *sums, SHARED const Window *window, const Pixels *in, __global const ushort *panels, const int i,
                             const int j, const int y, const int x, const int dy, const int dx)
{
    const int in_core = window->core[i] >> j & 1, in_skirt = window->skirt[i] >> j & 1, in_wide = window->wide[i] >> j & 1;
    if (y < 0 || y >= in->height || x < 0 || x >= in->width) {
        sums->flags |= 2 * in_core;
        return;
    }
    const uint pixel = (uint)y * (uint)in->width + (uint)x;
    const PIXEL_T raw = in->frame[pixel];
    const int good = usable(raw) && !isnan(in->position[pixel]);
    sums->first_slow = min(sums->first_slow, dy), sums->last_slow = max(sums->last_slow, dy);
    sums->first_fast = min(sums->first_fast, dx), sums->last_fast = max(sums->last_fast, dx);
    if (in_core) {
        const int panel = panels[pixel];
        sums->flags |= (good ? 8 * (raw >= in->saturation) : 1) | (panel & 0x8000 ? 4 : 0);
        sums->lowest_panel = min(sums->lowest_panel, panel & 0x7fff);
        sums->highest_panel = max(sums->highest_panel, panel & 0x7fff);
    }
    if (!good) return;
    const float4 ring = background_at(in->table, in->rings, in->position[pixel]);
    const REAL w = in->weight[pixel];
    REAL counts = raw;
#if HAS_DARK
    counts -= in->dark[pixel];
#endif
    const REAL above = counts / w - ring.x;
    if (isnan(above)) return; /* a ring without background */
    const REAL spread = ring.y * fmax(ring.x, 0.0f) / w + (REAL)ring.z * ring.z + (in->noise2 > 0.0f ? in->noise2 / (w * w) : 0);
    const REAL signal = above / w;
    if (in_core || in_wide) {
        sums->of[0] += above;
        sums->of[1] += spread;
        sums->of[2] += 1;
        sums->of[3] += signal;
    }
    if (in_core) sums->of[10] += window->picked[i] >> j & 1;
    if (in_core || in_skirt) {
        const REAL positive = above > 0 ? above : 0;
        sums->of[4] += above;
        sums->of[5] += positive;
        sums->of[6] += above * dy;
        sums->of[7] += above * dx;
        sums->of[8] += positive * dy;
        sums->of[9] += positive * dx;
        const REAL variance = spread + signal;
        sums->of[11] += variance;
        sums->of[12] += variance * dy;
        sums->of[13] += variance * dx;
        sums->of[14] += variance * dy * dy;
        sums->of[15] += variance * dx * dx;
    }
}

/* Add the pixels that a member has for itself, those that the item looks after. `slow`, `fast`: of the member. */
static inline void add_pixels(Sums *sums, SHARED const Window *window, const Pixels *in, __global const ushort *panels,
                              const uint head, const int slow, const int fast)
{
    const int top = slow - FAR, left = fast - FAR, head_slow = head / in->width, head_fast = head % in->width;
#if LOCAL_SIZE == 1
    for (int i = 0; i < SIDE; i++)
        for (uint own = window->core[i] | window->skirt[i] | window->wide[i]; own != 0; own &= own - 1) {
            const int j = 31 - clz(own & -own);
            add_pixel(sums, window, in, panels, i, j, top + i, left + j, top + i - head_slow, left + j - head_fast);
        }
#else
    EACH_PIXEL(i, j)
    if ((window->core[i] | window->skirt[i] | window->wide[i]) >> j & 1)
        add_pixel(sums, window, in, panels, i, j, top + i, left + j, top + i - head_slow, left + j - head_fast);
#endif
}

/* Put together what the items have added up. The first one has all of it then. */
static inline void join_sums(Sums *sums, SHARED Joined *joined)
{
#if LOCAL_SIZE > 1
    const int me = get_local_id(0);
    if (me == 0) {
        joined->flags = 0;
        joined->lowest_panel = 32767, joined->highest_panel = -1;
        joined->first_slow = joined->first_fast = 2047;
        joined->last_slow = joined->last_fast = -2048;
    }
    for (int m = 0; m < ADDED; m++) {
        joined->slot[me] = sums->of[m];
        for (int size = LOCAL_SIZE / 2; size > 0; size >>= 1) {
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            if (me < size) joined->slot[me] += joined->slot[me + size];
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (me == 0) sums->of[m] = joined->slot[0];
    }
    atomic_or(&joined->flags, sums->flags);
    atomic_min(&joined->lowest_panel, sums->lowest_panel);
    atomic_max(&joined->highest_panel, sums->highest_panel);
    atomic_min(&joined->first_slow, sums->first_slow);
    atomic_max(&joined->last_slow, sums->last_slow);
    atomic_min(&joined->first_fast, sums->first_fast);
    atomic_max(&joined->last_fast, sums->last_fast);
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    sums->flags = joined->flags;
    sums->lowest_panel = joined->lowest_panel, sums->highest_panel = joined->highest_panel;
    sums->first_slow = joined->first_slow, sums->last_slow = joined->last_slow;
    sums->first_fast = joined->first_fast, sums->last_fast = joined->last_fast;
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
#endif
}

/* Two distances in one number. */
static inline REAL both(const int first, const int last)
{
    return (clamp(first, -2048, 2047) + 2048) * 4096 + clamp(last, -2048, 2047) + 2048;
}

static inline void write_record(__global REAL *record, const Sums *sums, const Pixels *in, const uint head,
                                __global const float *sem)
{
    const float w = in->weight[head], place = in->position[head], at = clamp(place, 0.0f, (float)(in->rings - 1));
    const int low = min((int)at, max(in->rings - 2, 0)), high = min(low + 1, in->rings - 1);
    const float below = isnan(sem[low]) ? sem[high] : sem[low], beyond = isnan(sem[high]) ? sem[low] : sem[high];
    const float4 ring = background_at(in->table, in->rings, place);
    for (int i = 0; i < ADDED; i++) record[i] = sums->of[i];
    record[16] = (REAL)ring.x * w;
    record[17] = below + (at - low) * (beyond - below);
    record[18] = ring.y;
    record[19] = other_variance(ring, w, in->noise2);
    record[20] = sums->flags | (sums->lowest_panel < sums->highest_panel ? 16 : 0);
    record[21] = both(sums->first_slow, sums->last_slow);
    record[22] = both(sums->first_fast, sums->last_fast);
}

#endif

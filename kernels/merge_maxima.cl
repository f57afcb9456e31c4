/* merge_maxima.cl - which maxima belong to the spot of a higher one, and the flat tops that maxima are corners of.
 *
 * What      from each maximum, walks over connected pixels (8 neighbours) that stay above a level below it: it belongs to
 *           the higher maximum it can reach that way. The level is the maximum less the depth of a real valley,
 *           and never below SNR_pick. Lists the pixels, connected to it, that hold no less than a maximum which is
 *           saturated or has more than two equals beside it
 * Launch    work-groups of LOCAL_SIZE that share the maxima of a frame; second dimension: one frame after the other
 * In        frame, position, weight, dark, table, saturation, noise2: as pick_pixels.cl
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           maxima [frames][pixels]  pixel numbers
 *           valley                   depth of a real valley in standard deviations of the counts that bound it
 *           share                    and as a share of the maximum above its background
 *           capacity                     of each frame in lists of members
 *           height, width            of a frame
 *           state  [frames][STATE]   [MAXIMA]: how many (spot_share.h)
 * Out       parent [frames][capacity]    pixel number of the higher maximum, or the maximum itself
 *           extra  [frames][capacity]    pixel numbers of flat tops, in no order, as many as there is capacity for
 *           owner  [frames][capacity]    the maximum of each, as its place in the list
 *           state                    added to [EXTRAS]: how many
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); REACH as in find_maxima.cl;
 *           LOCAL_SIZE = 1 | 32
 * Exact     raw counts are compared as they are; the walk has one order
 * Limits    the walk stays within REACH_FAR pixels of the maximum and visits at most MOST of them; a flat top ends FLAT_FAR pixels from
 *           it. Where there are more maxima than capacity, nothing is done
 * Method    merging by the depth of the saddle (topological persistence); docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#include "spot_window.h"

#define REACH_FAR 15 /* a bit per pixel of a row of 31 */
#define MOST 512
#define FLAT_FAR 24
#define FLAT_SIDE (2 * FLAT_FAR + 1)

/* What the items of a group share. */
typedef struct {
    uint seen[2 * REACH_FAR + 1];
    ushort queue[MOST]; /* row * 32 + column of the window */
    uchar open[9];      /* of the pixels about one: 1 = the walk goes on there, 2 = and it is higher */
    int head, tail, grows;
    uint goal;
    ulong flat[FLAT_SIDE], near[FLAT_SIDE], more[FLAT_SIDE];
} Walk;

/* Whether one of two pixels, of the values that are compared, is the higher one. */
static inline int higher(const PIXEL_T value, const uint pixel, const PIXEL_T other, const uint other_pixel)
{
    return value > other || (value == other && pixel < other_pixel);
}

/* List the pixels of the flat top of a maximum. */
static inline void list_flat_top(SHARED Walk *shared, __global const PIXEL_T *frame, const PIXEL_T level, const int slow, const int fast,
                   const int height, const int width, const int m, const int places, __global uint *extra, __global int *owner,
                   __global uint *count)
{
    const int me = get_local_id(0), from = max(FLAT_FAR - fast, 0), to = min(width - fast + FLAT_FAR, FLAT_SIDE);
    for (int i = me; i < FLAT_SIDE; i += LOCAL_SIZE) {
        const int y = slow + i - FLAT_FAR;
        ulong flat = 0;
        if (y >= 0 && y < height)
            for (int j = from; j < to; j++) {
                const PIXEL_T raw = frame[(uint)y * (uint)width + (uint)(fast + j - FLAT_FAR)];
                flat |= (ulong)(raw >= level && usable(raw)) << j;
            }
        shared->flat[i] = flat;
        shared->near[i] = i == FLAT_FAR ? 1ul << FLAT_FAR : 0;
    }
    if (me == 0) shared->grows = 1;
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    int grows = 1;
    while (grows) {
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (me == 0) shared->grows = 0;
        for (int i = me; i < FLAT_SIDE; i += LOCAL_SIZE) {
            const ulong three = shared->near[i] | (i > 0 ? shared->near[i - 1] : 0) | (i < FLAT_SIDE - 1 ? shared->near[i + 1] : 0);
            shared->more[i] = (three | three << 1 | three >> 1) & shared->flat[i];
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        for (int i = me; i < FLAT_SIDE; i += LOCAL_SIZE) {
            if (shared->more[i] & ~shared->near[i]) SET_BITS(shared->grows, 1);
            shared->near[i] |= shared->more[i];
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        grows = shared->grows;
    }
    for (int i = me; i < FLAT_SIDE; i += LOCAL_SIZE) {
        const ulong flat = shared->near[i];
        if (flat == 0) continue;
        int at = (int)atomic_add(count, (uint)popcount(flat));
        for (int j = from; j < to; j++)
            if (flat >> j & 1) {
                if (at < places) {
                    extra[at] = (uint)(slow + i - FLAT_FAR) * (uint)width + (uint)(fast + j - FLAT_FAR);
                    owner[at] = m;
                }
                at++;
            }
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void merge_maxima(__global const PIXEL_T *frame,
                  __global const float *position,
                  __global const float *weight,
                  __global const float *dark,
                  __global const float4 *table,
                  const int rings,
                  __global const float2 *pick_reach,
                  __global const float *pick_curve,
                  const float pick_k,
                  const float noise2,
                  const PIXEL_T saturation,
                  __global const uint *maxima,
                  const float valley,
                  const float share,
                  const int capacity,
                  const int height,
                  const int width,
                  __global uint *parent,
                  __global uint *extra,
                  __global int *owner,
                  __global uint *state)
{
    const int number = get_group_id(1), me = get_local_id(0);
    const size_t pixels = (size_t)height * width, first_place = (size_t)number * capacity;
    frame += number * pixels;
    table += number * rings;
    pick_reach += number * rings;
    maxima += number * pixels;
    parent += first_place;
    extra += first_place;
    owner += first_place;
    state += STATE * number;
    const Pixels in = {frame, position, weight, dark, table, noise2, saturation, rings, height, width};
    SHARED Walk shared;
    const uint n = state[MAXIMA];
    const int2 mine = share_of(n > (uint)capacity ? 0 : (int)n);
    for (int m = mine.x; m < mine.y; m++) {
        const uint top = maxima[m];
        if (m + AHEAD < mine.y) touch_window(&in, maxima[m + AHEAD], 1);
        const int top_slow = top / width, top_fast = top % width;
        const PIXEL_T top_raw = min(frame[top], saturation);
        const float top_counts = COUNTS(frame[top], dark, top);
        const float4 top_ring = background_at(table, rings, position[top]);
        const float above = top_counts - top_ring.x * weight[top];
        const float spread = sqrt(2.0f * fmax(top_ring.y, 1.0f) * fmax(top_counts, 0.0f) +
                                  2.0f * other_variance(top_ring, weight[top], noise2));
        const float level = top_counts - fmax(valley * spread, share * above);
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        for (int i = me; i <= 2 * REACH_FAR; i += LOCAL_SIZE) shared.seen[i] = i == REACH_FAR ? 1u << REACH_FAR : 0;
        if (me == 0) {
            shared.queue[0] = REACH_FAR * 32 + REACH_FAR;
            shared.head = 0;
            shared.tail = 1;
            shared.goal = top;
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        int walks = 1;
        while (walks) {
            const int row = shared.queue[shared.head] >> 5, column = shared.queue[shared.head] & 31;
            for (int k = me; k < 9; k += LOCAL_SIZE) { /* the pixels about this one */
                const int i = row - 1 + k / 3, j = column - 1 + k % 3;
                const int slow = top_slow + i - REACH_FAR, fast = top_fast + j - REACH_FAR;
                int open = 0;
                if (i >= 0 && i <= 2 * REACH_FAR && j >= 0 && j <= 2 * REACH_FAR && slow >= 0 && slow < height && fast >= 0 &&
                    fast < width && !(shared.seen[i] >> j & 1)) {
                    const uint pixel = (uint)slow * (uint)width + (uint)fast;
                    const PIXEL_T raw = frame[pixel];
                    if (usable(raw) && !isnan(position[pixel])) {
                        const float s = COUNTS(raw, dark, pixel);
                        open = raw > saturation ||
                               (s >= level && significant(s, weight[pixel], position[pixel], pick_reach, table, rings, noise2, pick_k,
                                                          pick_curve));
                        if (open && higher(min(raw, saturation), pixel, top_raw, top)) open = 2;
                    }
                }
                shared.open[k] = open;
            }
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            if (me == 0) {
                for (int k = 0; k < 9; k++) {
                    const int i = row - 1 + k / 3, j = column - 1 + k % 3;
                    if (i >= 0 && i <= 2 * REACH_FAR && j >= 0) shared.seen[i] |= 1u << j;
                    if (shared.open[k] == 0) continue;
                    if (shared.open[k] == 2 && shared.goal == top)
                        shared.goal = (uint)(top_slow + i - REACH_FAR) * (uint)width + (uint)(top_fast + j - REACH_FAR);
                    if (shared.tail < MOST) shared.queue[shared.tail++] = i * 32 + j;
                }
                shared.head++;
            }
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            walks = shared.head < shared.tail && shared.goal == top;
        }
        /* Climb from there to the maximum it belongs to. */
        uint goal = shared.goal;
        for (int moved = goal != top, steps = 0; moved && steps < 64; steps++) {
            const int slow = goal / width, fast = goal % width;
            uint best = goal;
            for (int i = max(slow - REACH, 0); i <= min(slow + REACH, height - 1); i++)
                for (int j = max(fast - REACH, 0); j <= min(fast + REACH, width - 1); j++) {
                    const uint pixel = (uint)i * (uint)width + (uint)j;
                    const PIXEL_T raw = frame[pixel];
                    if (isnan(position[pixel]) || !usable(raw)) continue;
                    if (higher(min(raw, saturation), pixel, min(frame[best], saturation), best)) best = pixel;
                }
            moved = best != goal;
            goal = best;
        }
        if (me == 0) parent[m] = goal;

        int equal = 0;
        for (int i = max(top_slow - 1, 0); i <= min(top_slow + 1, height - 1); i++)
            for (int j = max(top_fast - 1, 0); j <= min(top_fast + 1, width - 1); j++)
                equal += frame[(uint)i * (uint)width + (uint)j] == frame[top];
        if (equal > 3 || frame[top] >= saturation)
            list_flat_top(&shared, frame, top_raw, top_slow, top_fast, height, width, m, capacity - (int)n, extra, owner, state + EXTRAS);
    }
}

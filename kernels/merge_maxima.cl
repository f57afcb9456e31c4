/* merge_maxima.cl - which maxima belong to the spot of a higher one.
 *
 * What      from each maximum, walks over connected pixels (8 neighbours) that stay above a level below it: it belongs to
 *           the higher maximum it can reach that way. The level is the maximum less the depth of a real valley,
 *           and never below SNR_pick.
 * Launch    one work-item per maximum
 * In        frame, position, weight, dark, table, saturation, noise2: as pick_pixels.cl
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           maxima [n]               pixel numbers
 *           valley                   depth of a real valley in standard deviations of the counts that bound it
 *           share                    and as a share of the maximum above its background
 *           number                   of the frame
 *           height, width            of a frame
 * Out       parent [n]               pixel number of the higher maximum, or the maximum itself
 *           flat   [n]               1 if the maximum is saturated or has more than two equals beside it, else 0
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); REACH as in find_maxima.cl
 * Exact     raw counts are compared as they are; the walk has one order
 * Limits    the walk stays within REACH_FAR pixels of the maximum and visits at most MOST of them
 * Method    merging by the depth of the saddle (topological persistence); docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#include "pixel.h"
#include "significance.h"

#define REACH_FAR 15 /* a bit per pixel of a row of 31 */
#define MOST 512

__kernel void merge_maxima(__global const PIXEL_T *frame,
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
                           const uint number,
                           const int height,
                           const int width,
                           __global uint *parent,
                           __global uchar *flat)
{
    frame += (size_t)number * height * width;
    table += number * rings;
    pick_reach += number * rings;
    const uint top = maxima[get_global_id(0)];
    const int top_slow = top / width, top_fast = top % width;
    const PIXEL_T top_raw = min(frame[top], saturation);
    const float top_counts = COUNTS(frame[top], dark, top);
    const float4 top_ring = background_at(table, rings, position[top]);
    const float above = top_counts - top_ring.x * weight[top];
    const float spread = sqrt(2.0f * fmax(top_ring.y, 1.0f) * fmax(top_counts, 0.0f) +
                              2.0f * other_variance(top_ring, weight[top], noise2));
    const float level = top_counts - fmax(valley * spread, share * above);

    int equal = 0;
    for (int i = max(top_slow - 1, 0); i <= min(top_slow + 1, height - 1); i++)
        for (int j = max(top_fast - 1, 0); j <= min(top_fast + 1, width - 1); j++)
            equal += frame[(uint)i * (uint)width + (uint)j] == frame[top];
    flat[get_global_id(0)] = equal > 3 || frame[top] >= saturation;

    uint seen[2 * REACH_FAR + 1];
    for (int i = 0; i <= 2 * REACH_FAR; i++) seen[i] = 0;
    seen[REACH_FAR] = 1u << REACH_FAR;
    ushort queue[MOST]; /* row * 32 + column of the window */
    int head = 0, tail = 0;
    queue[tail++] = REACH_FAR * 32 + REACH_FAR;
    uint goal = top;
    while (head < tail && goal == top) {
        const int row = queue[head] >> 5, column = queue[head] & 31;
        head++;
        for (int i = max(row - 1, 0); i <= min(row + 1, 2 * REACH_FAR); i++)
            for (int j = max(column - 1, 0); j <= min(column + 1, 2 * REACH_FAR); j++) {
                if (seen[i] >> j & 1) continue;
                seen[i] |= 1u << j;
                const int slow = top_slow + i - REACH_FAR, fast = top_fast + j - REACH_FAR;
                if (slow < 0 || slow >= height || fast < 0 || fast >= width) continue;
                const uint pixel = (uint)slow * (uint)width + (uint)fast;
                const PIXEL_T raw = frame[pixel];
                if (isnan(position[pixel]) || !usable(raw)) continue;
                const float s = COUNTS(raw, dark, pixel);
                if (s < level && raw <= saturation) continue;
                if (raw <= saturation &&
                    !significant(s, weight[pixel], position[pixel], pick_reach, table, rings, noise2, pick_k,
                                 pick_curve))
                    continue;
                const PIXEL_T value = min(raw, saturation);
                if (goal == top && (value > top_raw || (value == top_raw && pixel < top))) goal = pixel;
                if (tail < MOST) queue[tail++] = i * 32 + j;
            }
    }
    /* Climb from there to the maximum it belongs to. */
    for (int moved = goal != top, steps = 0; moved && steps < 64; steps++) {
        const int slow = goal / width, fast = goal % width;
        uint best = goal;
        for (int i = max(slow - REACH, 0); i <= min(slow + REACH, height - 1); i++)
            for (int j = max(fast - REACH, 0); j <= min(fast + REACH, width - 1); j++) {
                const uint pixel = (uint)i * (uint)width + (uint)j;
                const PIXEL_T raw = frame[pixel];
                if (isnan(position[pixel]) || !usable(raw)) continue;
                const PIXEL_T value = min(raw, saturation), so_far = min(frame[best], saturation);
                if (value > so_far || (value == so_far && pixel < best)) best = pixel;
            }
        moved = best != goal;
        goal = best;
    }
    parent[get_global_id(0)] = goal;
}

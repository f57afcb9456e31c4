/* spot_regions.cl - how far the spot of each maximum reaches beyond its neighbourhood.
 *
 * What      the pixels of the window above a threshold that are connected (8 neighbours) to the neighbourhood without being in it:
 *           above SNR_pick (for the centroid), and above a surer threshold with all pixels that touch one (for the intensity)
 * Launch    one work-item per maximum
 * In        frame, position, table, noise2: as pick_pixels.cl; weight, dark [pixels]
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           sure_reach, sure_curve, sure_k  of the surer threshold
 *           member [n]               pixel numbers
 *           number                   of the frame
 *           height, width            of a frame
 * Out       skirt  [n][SIDE]         rows of bits (spot_window.h): above SNR_pick
 *           wide   [n][SIDE]         above the surer threshold, and the rim
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); REACH (spot_window.h)
 * Exact     thresholds as pick_pixels.cl
 * Limits    nothing is looked for farther than FAR pixels from the maximum
 * Method    docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#include "pixel.h"
#include "significance.h"
#include "spot_window.h"

__kernel void spot_regions(__global const PIXEL_T *frame,
                           __global const float *position,
                           __global const float *weight,
                           __global const float *dark,
                           __global const float4 *table,
                           const int rings,
                           __global const float2 *pick_reach,
                           __global const float *pick_curve,
                           const float pick_k,
                           __global const float2 *sure_reach,
                           __global const float *sure_curve,
                           const float sure_k,
                           const float noise2,
                           __global const uint *member,
                           const uint number,
                           const int height,
                           const int width,
                           __global ushort *skirt,
                           __global ushort *wide)
{
    frame += (size_t)number * height * width;
    table += number * rings;
    pick_reach += number * rings;
    sure_reach += number * rings;
    const int m = get_global_id(0);
    const int slow = member[m] / width, fast = member[m] % width;
    const int from = max(FAR - fast, 0), to = min(width - fast + FAR, SIDE); /* columns of the window inside the frame */
    uint good[SIDE], picked[SIDE], sure[SIDE], done[SIDE], near_picked[SIDE], near_sure[SIDE];
    for (int i = 0; i < SIDE; i++) {
        good[i] = picked[i] = sure[i] = done[i] = 0;
        near_picked[i] = near_sure[i] = core_row(i);
    }
    for (int i = FAR - REACH - 1; i <= FAR + REACH + 1; i++) { /* what is needed at least: loads that wait together */
        const uint row = (uint)clamp(slow + i - FAR, 0, height - 1) * (uint)width + (uint)fast;
        TOUCH_LINE(PIXEL_T, frame, row + from - FAR), TOUCH_LINE(PIXEL_T, frame, row + to - 1 - FAR);
        TOUCH_LINE(float, position, row + from - FAR), TOUCH_LINE(float, position, row + to - 1 - FAR);
        TOUCH_LINE(float, weight, row + from - FAR), TOUCH_LINE(float, weight, row + to - 1 - FAR);
    }
    /* Rows are tested when the region comes near them; one round more than it grows, for the rim. */
    for (int step = 0; step <= FAR - REACH; step++) {
        for (int i = 0; i < SIDE; i++) {
            const int y = slow + i - FAR;
            if (done[i] || !(wider_row(near_picked, i) | wider_row(near_sure, i)) || y < 0 || y >= height) continue;
            done[i] = 1;
            const uint row = (uint)y * (uint)width + (uint)fast - FAR;
            uint perhaps = 0;
            for (int j = from; j < to; j++) { /* without a branch that could not be foreseen */
                const PIXEL_T raw = frame[row + j];
                const float place = position[row + j];
                const uint known = usable(raw) && !isnan(place);
                const float limit = LOADED(float2, pick_reach, ring_at(known ? place : 0.0f, rings)).x;
                good[i] |= known << j;
                perhaps |= (uint)(COUNTS(raw, dark, row + j) > limit * weight[row + j]) << j;
            }
            for (uint test = perhaps & good[i]; test != 0; test &= test - 1) {
                const int j = 31 - clz(test & -test);
                const float s = COUNTS(frame[row + j], dark, row + j), w = weight[row + j], place = position[row + j];
                if (!significant(s, w, place, pick_reach, table, rings, noise2, pick_k, pick_curve)) continue;
                picked[i] |= 1u << j;
                if (significant(s, w, place, sure_reach, table, rings, noise2, sure_k, sure_curve)) sure[i] |= 1u << j;
            }
        }
        if (step == FAR - REACH) break;
        uint more_picked[SIDE], more_sure[SIDE];
        for (int i = 0; i < SIDE; i++) {
            more_picked[i] = wider_row(near_picked, i) & picked[i];
            more_sure[i] = wider_row(near_sure, i) & sure[i];
        }
        for (int i = 0; i < SIDE; i++) {
            near_picked[i] |= more_picked[i];
            near_sure[i] |= more_sure[i];
        }
    }
    uint sure_ones[SIDE];
    for (int i = 0; i < SIDE; i++) sure_ones[i] = near_sure[i] & sure[i];
    for (int i = 0; i < SIDE; i++) {
        skirt[m * SIDE + i] = near_picked[i] & ~core_row(i);
        wide[m * SIDE + i] = (near_sure[i] | (wider_row(sure_ones, i) & good[i])) & ~core_row(i);
    }
}

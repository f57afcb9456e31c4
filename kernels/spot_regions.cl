/* spot_regions.cl - how far the spot of each maximum reaches beyond its neighbourhood.
 *
 * What      the pixels of the window above a threshold that are connected (8 neighbours) to the neighbourhood without being in it:
 *           above SNR_pick (for the centroid), and above a surer threshold with all pixels that touch one (for the intensity)
 * Launch    one work-item per maximum
 * In        frame, position, table, noise2: as pick_pixels.cl; weight, dark [pixels]
 *           pick_curve, pick_k       of SNR_pick
 *           sure_curve, sure_k       of the surer threshold
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
                           __global const float *pick_curve,
                           const float pick_k,
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
    const int m = get_global_id(0);
    const int slow = member[m] / width, fast = member[m] % width;
    uint good[SIDE], picked[SIDE], sure[SIDE], done[SIDE], near_picked[SIDE], near_sure[SIDE];
    for (int i = 0; i < SIDE; i++) {
        good[i] = picked[i] = sure[i] = done[i] = 0;
        near_picked[i] = near_sure[i] = core_row(i);
    }
    /* Pixels are tested when the region comes near them; one round more than it grows, for the rim. */
    for (int step = 0; step <= FAR - REACH; step++) {
        for (int i = 0; i < SIDE; i++) {
            uint test = (wider_row(near_picked, i) | wider_row(near_sure, i)) & ~done[i];
            done[i] |= test;
            for (; test != 0; test &= test - 1) {
                const int j = 31 - clz(test & -test), y = slow + i - FAR, x = fast + j - FAR;
                if (y < 0 || y >= height || x < 0 || x >= width) continue;
                const uint pixel = (uint)y * (uint)width + (uint)x;
                const PIXEL_T raw = frame[pixel];
                if (!usable(raw) || isnan(position[pixel])) continue;
                good[i] |= 1u << j;
                const float4 ring = background_at(table, rings, position[pixel]);
                const float s = COUNTS(raw, dark, pixel), w = weight[pixel];
                if (core_row(i) >> j & 1) { /* in the region anyway */
                    if (clearly_below(s, ring, w, noise2, sure_k, sure_curve)) continue;
                } else {
                    if (clearly_below(s, ring, w, noise2, pick_k, pick_curve)) continue;
                    if (!(s > significant_counts(ring, w, noise2, pick_k, pick_curve))) continue;
                    picked[i] |= 1u << j;
                }
                if (s > significant_counts(ring, w, noise2, sure_k, sure_curve)) sure[i] |= 1u << j;
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

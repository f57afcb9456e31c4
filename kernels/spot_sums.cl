/* spot_sums.cl - what each spot holds: intensity, its variance, centroid, flags.
 *
 * What      a spot is the union of the neighbourhoods of its members, and the outskirts that spot_regions.cl found. Every
 *           pixel counts once: a pixel of a neighbourhood is in no outskirts, and a pixel in the outskirts of several members
 *           belongs to the nearest one, of equals to that of the lowest spot
 * Launch    one work-item per spot
 * In        frame, position, table, noise2: as pick_pixels.cl; weight, dark [pixels]
 *           panels [pixels]          panel, and 0x8000 in the gap between panels
 *           pick_reach, pick_curve, pick_k  of SNR_pick
 *           saturation               raw value at which a pixel is saturated
 *           sem    [rings]           standard error of the mean
 *           member [n]               pixel numbers, ascending
 *           spot   [n]               the spot of each
 *           skirt, wide [n][SIDE]    of spot_regions.cl
 *           list   [n]               members, those of a spot together
 *           start  [spots + 1]       those of spot s: list[start[s]] .. list[start[s + 1] - 1]
 *           head   [spots]           pixel number of the strongest maximum
 *           members                  n
 *           number                   of the frame
 *           height, width            of a frame
 * Out       spots  [spots][SUMS]     sums of v - bg, its background variance, 1, (v - bg) / w over neighbourhoods and wide outskirts;
 *                                    of v - bg, max(v - bg, 0), and both times the distance from the head (slow, fast) over
 *                                    neighbourhoods and skirts; pixels above SNR_pick in the neighbourhoods; flags: 1 unusable
 *                                    pixel, 2 border, 4 gap, 8 saturated, 16 several panels; at the head: expected counts, sem;
 *                                    box of all pixels in the frame, slow and fast: 4096 (first + 2048) + last + 2048, from the
 *                                    head; sums over neighbourhoods and skirts of the variance of a pixel, that times the
 *                                    distance (slow, fast), and times its square; at the head: phi, and the variance in
 *                                    counts^2 that does not come from counting
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); REACH (spot_window.h); REAL = float | double;
 *           SUMS = 23
 * Exact     in the precision of REAL; always in the same order
 * Limits    members < 2^31
 * Method    docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#include "pixel.h"
#include "significance.h"
#include "spot_claims.h"

__kernel void spot_sums(__global const PIXEL_T *frame,
                        __global const float *position,
                        __global const float *weight,
                        __global const float *dark,
                        __global const ushort *panels,
                        __global const float4 *table,
                        const int rings,
                        __global const float *sem,
                        __global const float2 *pick_reach,
                        __global const float *pick_curve,
                        const float pick_k,
                        const float noise2,
                        const PIXEL_T saturation,
                        __global const uint *member,
                        __global const int *spot,
                        __global const ushort *skirt,
                        __global const ushort *wide,
                        __global const int *list,
                        __global const int *start,
                        __global const uint *head,
                        const int members,
                        const uint number,
                        const int height,
                        const int width,
                        __global REAL *spots)
{
    frame += (size_t)number * height * width;
    table += number * rings;
    pick_reach += number * rings;
    sem += number * rings;
    const int s = get_global_id(0);
    const Members all = {member, spot, skirt, wide, members};
    const int head_slow = head[s] / width, head_fast = head[s] % width;
    REAL of[SUMS];
    for (int i = 0; i < SUMS; i++) of[i] = 0;
    int flags = 0, panel = -1;
    int4 box = {2047, -2048, 2047, -2048}; /* first and last row, first and last column, from the head */
    for (int at = start[s]; at < start[s + 1]; at++) {
        const int m = list[at], slow = member[m] / width, fast = member[m] % width;
        for (int i = -REACH - 1; i <= REACH + 1; i++) { /* loads that wait together */
            const uint row = (uint)clamp(slow + i, 0, height - 1) * (uint)width + (uint)fast;
            TOUCH_LINE(PIXEL_T, frame, row), TOUCH_LINE(float, position, row);
            TOUCH_LINE(float, weight, row), TOUCH_LINE(ushort, panels, row);
        }
        uint core[SIDE], near[SIDE], far[SIDE];
        own_pixels(&all, m, s, slow, fast, height, width, core, near, far);
        for (int i = 0; i < SIDE; i++)
            for (uint bits = core[i] | near[i] | far[i]; bits != 0; bits &= bits - 1) {
                const int j = 31 - clz(bits & -bits), y = slow + i - FAR, x = fast + j - FAR;
                const int in_core = core[i] >> j & 1, in_near = near[i] >> j & 1, in_far = far[i] >> j & 1;
                if (y < 0 || y >= height || x < 0 || x >= width) {
                    flags |= in_core ? 2 : 0;
                    continue;
                }
                const uint pixel = (uint)y * (uint)width + (uint)x;
                box.s0 = min(box.s0, y - head_slow), box.s1 = max(box.s1, y - head_slow);
                box.s2 = min(box.s2, x - head_fast), box.s3 = max(box.s3, x - head_fast);
                const PIXEL_T raw = frame[pixel];
                const int good = usable(raw) && !isnan(position[pixel]);
                if (in_core) {
                    const int here = panels[pixel] & 0x7fff;
                    if (panels[pixel] & 0x8000) flags |= 4;
                    if (!good) flags |= 1;
                    if (good && raw >= saturation) flags |= 8;
                    if (panel >= 0 && here != panel) flags |= 16;
                    panel = here;
                }
                if (!good) continue;
                const float4 ring = background_at(table, rings, position[pixel]);
                const REAL w = weight[pixel];
                REAL counts = raw;
#if HAS_DARK
                counts -= dark[pixel];
#endif
                const REAL above = counts / w - ring.x;
                if (isnan(above)) continue; /* a ring without background */
                if (in_core)
                    of[10] += significant(counts, w, position[pixel], pick_reach, table, rings, noise2, pick_k, pick_curve);
                const REAL spread = ring.y * fmax(ring.x, 0.0f) / w + (REAL)ring.z * ring.z + noise2 / (w * w);
                if (in_core || in_far) {
                    of[0] += above;
                    of[1] += spread;
                    of[2] += 1;
                    of[3] += above / w;
                }
                if (in_core || in_near) {
                    const REAL positive = above > 0 ? above : 0;
                    of[4] += above;
                    of[5] += positive;
                    of[6] += above * (y - head_slow);
                    of[7] += above * (x - head_fast);
                    of[8] += positive * (y - head_slow);
                    of[9] += positive * (x - head_fast);
                    const REAL variance = spread + above / w;
                    of[16] += variance;
                    of[17] += variance * (y - head_slow);
                    of[18] += variance * (x - head_fast);
                    of[19] += variance * (y - head_slow) * (y - head_slow);
                    of[20] += variance * (x - head_fast) * (x - head_fast);
                }
            }
    }
    const float at_head = position[head[s]];
    const float low_place = clamp(at_head, 0.0f, (float)(rings - 1));
    const int low = min((int)low_place, max(rings - 2, 0)), high = min(low + 1, rings - 1);
    const float below = isnan(sem[low]) ? sem[high] : sem[low], beyond = isnan(sem[high]) ? sem[low] : sem[high];
    of[11] = flags;
    const float4 ring = background_at(table, rings, at_head);
    of[12] = (REAL)ring.x * weight[head[s]];
    of[21] = ring.y;
    of[22] = other_variance(ring, weight[head[s]], noise2);
    of[13] = below + (low_place - low) * (beyond - below);
    box = clamp(box, -2048, 2047);
    of[14] = (box.s0 + 2048) * 4096 + box.s1 + 2048;
    of[15] = (box.s2 + 2048) * 4096 + box.s3 + 2048;
    for (int i = 0; i < SUMS; i++) spots[SUMS * s + i] = of[i];
}

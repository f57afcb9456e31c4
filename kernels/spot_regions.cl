/* spot_regions.cl - how far the spot of each maximum reaches beyond its neighbourhood, and what a spot that stands alone holds.
 *
 * What      the pixels of the window above a threshold that are connected (8 neighbours) to the neighbourhood without being in it:
 *           above SNR_pick (for the centroid), and above a surer threshold with all pixels that touch one (for the intensity).
 *           Of a spot of one member with no other one near they are added up at once
 * Launch    work-groups of LOCAL_SIZE that share the members of a frame; second dimension: one frame after the other
 * In        frame, position, table, noise2: as pick_pixels.cl; weight, dark [pixels]
 *           panels [pixels]          panel, and 0x8000 in the gap between panels
 *           levels; pick_curve, pick_k; sure_curve, sure_k  of SNR_pick, and of the surer threshold, as spot_reach.cl
 *           saturation               raw value at which a pixel is saturated
 *           sem    [frames][rings]   standard error of the mean
 *           member, spot, row, list, start, state  of order_members.cl
 *           capacity                     of each frame in lists of members
 *           height, width            of a frame
 * Out       region [frames][capacity][SIDE]  rows of bits (spot_window.h): above SNR_pick; << SIDE: above the surer threshold, and the
 *                                    rim; << 2 SIDE: all pixels of the neighbourhood and about it above SNR_pick
 *           record [capacity][frames][RECORD]  of spots that stand alone (spot_record.h)
 *           company [frames][capacity]   of the spots: whether they have several members, or others near; from their first member
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); LOCAL_SIZE, REACH (spot_window.h); REAL = float | double
 * Exact     thresholds as pick_pixels.cl; sums in the precision of REAL, always in the same order
 * Limits    nothing is looked for farther than FAR pixels from the maximum
 * Method    docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#include "spot_members.h"
#include "spot_record.h"

/* Grow the region of a window, by one item; an item that is alone tests rows when the region comes near them. */
static inline void grow_region(SHARED Window *window, const Pixels *in, const Levels *at, const int slow, const int fast)
{
    uint near_picked[SIDE], near_sure[SIDE], done = 0;
    for (int i = 0; i < SIDE; i++) near_picked[i] = near_sure[i] = core_row(i);
    /* One round more than the region grows, for the rim. */
    for (int step = 0; step <= FAR - REACH; step++) {
        uint more_picked[SIDE], more_sure[SIDE];
        for (int i = 0; i < SIDE; i++) {
            more_picked[i] = wider_row(near_picked, i);
            more_sure[i] = wider_row(near_sure, i);
#if LOCAL_SIZE == 1
            if (!(done >> i & 1) && (more_picked[i] | more_sure[i])) {
                done |= 1u << i;
                test_row(window, in, at, i, slow, fast);
            }
#endif
        }
        if (step == FAR - REACH) break;
        uint grown = 0;
        for (int i = 0; i < SIDE; i++) {
            more_picked[i] &= window->picked[i] & ~near_picked[i];
            more_sure[i] &= window->sure[i] & ~near_sure[i];
            near_picked[i] |= more_picked[i];
            near_sure[i] |= more_sure[i];
            grown |= more_picked[i] | more_sure[i];
        }
        if (grown == 0) break;
    }
    uint sure_ones[SIDE];
    for (int i = 0; i < SIDE; i++) sure_ones[i] = near_sure[i] & window->sure[i];
    for (int i = 0; i < SIDE; i++) {
        window->core[i] = core_row(i);
        window->skirt[i] = near_picked[i] & ~core_row(i);
        window->wide[i] = (near_sure[i] | (wider_row(sure_ones, i) & window->good[i])) & ~core_row(i);
    }
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void spot_regions(__global const PIXEL_T *frame,
                  __global const float *position,
                  __global const float *weight,
                  __global const float *dark,
                  __global const ushort *panels,
                  __global const float4 *table,
                  const int rings,
                  __global const float *sem,
                  __global const float4 *levels,
                  __global const float *pick_curve,
                  const float pick_k,
                  __global const float *sure_curve,
                  const float sure_k,
                  const float noise2,
                  const PIXEL_T saturation,
                  __global const uint *member,
                  __global const int *spot,
                  __global const int *row,
                  __global const int *list,
                  __global const int *start,
                  __global const uint *state,
                  const int capacity,
                  const int height,
                  const int width,
                  __global uint *region,
                  __global REAL *record,
                  __global uchar *company)
{
    const int number = get_group_id(1), me = get_local_id(0), first_ring = number * rings, stride = get_num_groups(1) * RECORD;
    const size_t first_place = (size_t)number * capacity;
    member += first_place;
    region += first_place * SIDE;
    record += number * RECORD;
    company += first_place;
    list += first_place;
    start += first_place + number;
    sem += first_ring;
    const Members all = {member, spot + first_place, row + number * (height + 1), region};
    const Pixels in = {frame + (size_t)number * height * width, position, weight, dark, table + first_ring, noise2, saturation,
                       rings, height, width};
    const Levels at = {levels + first_ring, pick_curve, sure_curve, pick_k, sure_k};
    SHARED Window window;
    SHARED Joined joined;
    SHARED int answer;
    const int2 mine = share_of(state[STATE * number + MEMBERS]);
    for (int m = mine.x; m < min(mine.x + AHEAD, mine.y); m++) touch_window(&in, member[m], FAR);
    for (int m = mine.x; m < mine.y; m++) {
        const int s = all.spot[m], slow = member[m] / width, fast = member[m] % width;
        if (m + AHEAD < mine.y) touch_window(&in, member[m + AHEAD], FAR);
        if (s < 0) continue;
        const int several = start[s + 1] - start[s] > 1;
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        EACH_ROW(i) window.good[i] = window.picked[i] = window.sure[i] = 0;
        if (me == 0) answer = several;
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (!several && has_company(&all, m, slow, fast, height, width)) SET_BITS(answer, 1);
#if LOCAL_SIZE > 1
        test_window(&window, &in, &at, slow, fast);
#endif
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (me == 0) {
            grow_region(&window, &in, &at, slow, fast);
            for (int i = 0; i < SIDE; i++) region[m * SIDE + i] = window.skirt[i] | window.wide[i] << SIDE | window.picked[i] << 2 * SIDE;
            if (list[start[s]] == m) company[s] = answer;
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (answer) continue;
        Sums sums = no_sums();
        add_pixels(&sums, &window, &in, panels, member[m], slow, fast);
        join_sums(&sums, &joined);
        if (me == 0) write_record(record + s * stride, &sums, &in, member[m], sem);
    }
}

/* spot_sums.cl - what each spot near others, or of several members, holds: intensity, its variance, centroid, flags.
 *
 * What      a spot is the union of the neighbourhoods of its members, and the outskirts that spot_regions.cl found. Every
 *           pixel counts once: a pixel of a neighbourhood is in no outskirts, and a pixel in the outskirts of several members
 *           belongs to the nearest one, of equals to that of the lowest spot
 * Launch    work-groups of LOCAL_SIZE that share the spots of a frame; second dimension: one frame after the other
 * In        frame, position, table, noise2: as pick_pixels.cl; weight, dark [pixels]
 *           panels, sem, saturation, capacity, height, width, region, company: as spot_regions.cl
 *           member, spot, row, list, start, head, state: of order_members.cl
 * Out       record [capacity][frames][RECORD]  of these spots (spot_record.h)
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); LOCAL_SIZE, REACH (spot_window.h); REAL = float | double
 * Exact     in the precision of REAL; always in the same order
 * Limits    members < 2^31
 * Method    docs/peaks.md
 * Oracle    tests/oracles/peaks.py
 */
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#include "spot_members.h"
#include "spot_record.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void spot_sums(__global const PIXEL_T *frame,
               __global const float *position,
               __global const float *weight,
               __global const float *dark,
               __global const ushort *panels,
               __global const float4 *table,
               const int rings,
               __global const float *sem,
               const float noise2,
               const PIXEL_T saturation,
               __global const uint *member,
               __global const int *spot,
               __global const int *row,
               __global const int *list,
               __global const int *start,
               __global const uint *head,
               __global const uint *state,
               const int capacity,
               const int height,
               const int width,
               __global const uint *region,
               __global const uchar *company,
               __global REAL *record)
{
    const int number = get_group_id(1), first_ring = number * rings, frames = get_num_groups(1);
    const size_t first_place = (size_t)number * capacity;
    member += first_place;
    list += first_place;
    start += first_place + number;
    company += first_place;
    record += number * RECORD;
    sem += first_ring;
    const Members all = {member, spot + first_place, row + number * (height + 1), region + first_place * SIDE};
    const Pixels in = {frame + (size_t)number * height * width, position, weight, dark, table + first_ring, noise2, saturation,
                       rings, height, width};
    SHARED Window window;
    SHARED Joined joined;
    const int2 mine = share_of(state[STATE * number + SPOTS]);
    for (int s = mine.x; s < mine.y; s++) {
        if (s + AHEAD < mine.y && company[s + AHEAD]) touch_window(&in, head[(s + AHEAD) * frames + number], REACH + 1);
        if (!company[s]) continue;
        const uint top = head[s * frames + number];
        Sums sums = no_sums();
        for (int at = start[s]; at < start[s + 1]; at++) {
            const int m = list[at], slow = member[m] / width, fast = member[m] % width;
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            own_pixels(&window, &all, m, s, slow, fast, height, width);
            add_pixels(&sums, &window, &in, panels, top, slow, fast);
        }
        join_sums(&sums, &joined);
        if (get_local_id(0) == 0) write_record(record + s * frames * RECORD, &sums, &in, top, sem);
    }
}

/* compare_pixels.cl - whether some pixels of a frame hold what they held before.
 *
 * What      counts those of a list whose raw value is another one
 * Launch    work-groups of LOCAL_SIZE, as many as one likes, which share the list out
 * In        frame    [frames][pixels]  raw counts, PIXEL_T
 *           index    [n]    pixel numbers
 *           value    [n]    their raw values
 *           pixels, number  of a frame; of the frame
 *           n
 * Out       differ   [groups]  how many, of those that each group looked at
 * Defines   PIXEL_T; LOCAL_SIZE
 * Exact     raw values are compared as they are
 * Limits    n < 2^31
 * Method    docs/background.md
 * Oracle    tests/oracles/significance.py
 */
#include "reduce.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void compare_pixels(__global const PIXEL_T *frame,
                    __global const uint *index,
                    __global const PIXEL_T *value,
                    const uint pixels,
                    const uint number,
                    const uint n,
                    __global uint *differ)
{
    __local float slot[LOCAL_SIZE];
    const uint first = (ulong)n * get_group_id(0) / get_num_groups(0), last = (ulong)n * (get_group_id(0) + 1) / get_num_groups(0);
    float others = 0.0f; /* of less than 2^24 pixels */
    frame += (size_t)number * pixels;
    for (uint i = first + get_local_id(0); i < last; i += LOCAL_SIZE) others += frame[index[i]] != value[i];
    group_sums(&others, 1, slot);
    if (get_local_id(0) == 0) differ[get_group_id(0)] = (uint)others;
}

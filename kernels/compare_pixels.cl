/* compare_pixels.cl - whether some pixels of a frame hold what they held before.
 *
 * What      counts those of a list whose raw value is another one
 * Launch    work-groups of one work-item, as many as one likes, which share the list out
 * In        frame    [pixels]  raw counts, PIXEL_T
 *           index    [n]    pixel numbers
 *           value    [n]    their raw values
 *           n
 * Out       differ   [groups]  how many, of those that each group looked at
 * Defines   PIXEL_T
 * Exact     raw values are compared as they are
 * Limits    n < 2^31
 * Method    docs/background.md
 * Oracle    tests/oracles/significance.py
 */
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void compare_pixels(__global const PIXEL_T *frame,
                    __global const uint *index,
                    __global const PIXEL_T *value,
                    const uint n,
                    __global uint *differ)
{
    const uint first = (ulong)n * get_group_id(0) / get_num_groups(0), last = (ulong)n * (get_group_id(0) + 1) / get_num_groups(0);
    uint others = 0;
    for (uint i = first; i < last; i++) others += frame[index[i]] != value[i];
    differ[get_group_id(0)] = others;
}

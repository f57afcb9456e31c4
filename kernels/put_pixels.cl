/* put_pixels.cl - values for some pixels of a frame.
 *
 * What      frame[index[i]] = value[i]
 * Launch    one work-item per STRIP consecutive entries, rounded up to whole work-groups
 * In        index  [n]       pixel numbers
 *           value  [n]       PIXEL_T
 *           n
 * Out       frame  [pixels]  PIXEL_T
 * Defines   PIXEL_T; STRIP
 * Exact     yes
 * Limits    n < 2^31; no pixel twice
 * Method    a copy
 * Oracle    tests/oracles/densify.py
 */
__kernel void put_pixels(__global const uint *index, __global const PIXEL_T *value, const uint n, __global PIXEL_T *frame)
{
    const uint first = get_global_id(0) * STRIP;
    const uint last = n < first + STRIP ? n : first + STRIP;
    for (uint i = first; i < last; i++) frame[index[i]] = value[i];
}

/* gather_blocks.cl - bring the lists of all blocks together.
 *
 * What      copies the first length[b] entries of each block to one list without gaps, and these pixels to another
 * Launch    one work-group of LOCAL_SIZE per block
 * In        list   [blocks * BLOCK]  block b starts at b * BLOCK
 *           start  [blocks + 1]      where the entries of block b go: start[b] .. start[b + 1] - 1
 *           frame  [frames][pixels]  raw counts, PIXEL_T
 *           pixels, number           of a frame; of the frame
 * Out       packed [start[blocks]]
 *           value  [start[blocks]]   frame[packed]
 * Defines   PIXEL_T; BLOCK, LOCAL_SIZE
 * Exact     a copy
 * Limits    blocks * BLOCK < 2^32
 * Method    prefix sum of the lengths, on the host
 * Oracle    tests/oracles/significance.py
 */
__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void gather_blocks(__global const uint *list,
                   __global const uint *start,
                   __global const PIXEL_T *frame,
                   const uint pixels,
                   const uint number,
                   __global uint *packed,
                   __global PIXEL_T *value)
{
    const uint block = get_group_id(0), n = start[block + 1] - start[block];
    frame += (size_t)number * pixels;
    for (uint i = get_local_id(0); i < n; i += LOCAL_SIZE) {
        const uint pixel = list[block * BLOCK + i];
        packed[start[block] + i] = pixel;
        value[start[block] + i] = frame[pixel];
    }
}

/* gather_blocks.cl - bring the lists of all blocks together.
 *
 * What      copies the first length[b] entries of each block to one list without gaps
 * Launch    one work-group of LOCAL_SIZE per block
 * In        list   [blocks * BLOCK]  block b starts at b * BLOCK
 *           start  [blocks + 1]      where the entries of block b go: start[b] .. start[b + 1] - 1
 * Out       packed [start[blocks]]
 * Defines   BLOCK, LOCAL_SIZE
 * Exact     a copy
 * Limits    blocks * BLOCK < 2^32
 * Method    prefix sum of the lengths, on the host
 * Oracle    tests/oracles/significance.py
 */
__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void gather_blocks(__global const uint *list, __global const uint *start, __global uint *packed)
{
    const uint block = get_group_id(0), n = start[block + 1] - start[block];
    for (uint i = get_local_id(0); i < n; i += LOCAL_SIZE) packed[start[block] + i] = list[block * BLOCK + i];
}

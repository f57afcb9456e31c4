/* select.h - write the chosen pixels of a block one after the other, in the order of their numbers.
 *
 * Defines   LOCAL_SIZE, a power of two
 */
#ifndef SELECT_H
#define SELECT_H

#include "group_barrier.h"

/* (No `static inline`: PoCL crashes on a barrier in such a function.)
 * Append `value` where `chosen`, for all work-items of the group together, in their order; the new length. */
uint append(const int chosen, const uint value, __global uint *list, uint length, __local uint *scan)
{
#if LOCAL_SIZE == 1
    if (chosen) list[length++] = value;
    return length;
#else
    const int me = get_local_id(0);
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    scan[me] = chosen;
    for (int step = 1; step < LOCAL_SIZE; step <<= 1) {
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        const uint before = me >= step ? scan[me - step] : 0;
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        scan[me] += before;
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    if (chosen) list[length + scan[me] - 1] = value;
    return length + scan[LOCAL_SIZE - 1];
#endif
}

#endif

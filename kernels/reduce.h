/* reduce.h - work that the items of a group do together.
 *
 * Functions with a barrier are plain: PoCL crashes on `static inline` ones. Each makes a kernel slow to build, so there is one.
 *
 * Defines   LOCAL_SIZE, a power of two
 */
#ifndef REDUCE_H
#define REDUCE_H

#include "group_barrier.h"

/* Add up `n` values of every work-item; all receive the sums. `slot` holds n * LOCAL_SIZE numbers. */
void group_sums(float *values, const int n, __local float *slot)
{
#if LOCAL_SIZE > 1
    const int me = get_local_id(0);
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    for (int m = 0; m < n; m++) slot[m * LOCAL_SIZE + me] = values[m];
    for (int size = LOCAL_SIZE / 2; size > 0; size >>= 1) {
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (me < size)
            for (int m = 0; m < n; m++) slot[m * LOCAL_SIZE + me] += slot[m * LOCAL_SIZE + me + size];
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    for (int m = 0; m < n; m++) values[m] = slot[m * LOCAL_SIZE];
#endif
}

#endif

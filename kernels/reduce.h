/* reduce.h - work that the items of a group do together.
 *
 * Functions with a barrier are plain: PoCL crashes on `static inline` ones.
 *
 * Defines   LOCAL_SIZE, a power of two
 */
#ifndef REDUCE_H
#define REDUCE_H

/* Add up one value of every work-item; all receive the sum. */
float group_sum(const float mine, __local float *slot)
{
#if LOCAL_SIZE == 1
    return mine;
#else
    const int me = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    slot[me] = mine;
    for (int n = LOCAL_SIZE / 2; n > 0; n >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < n) slot[me] += slot[me + n];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return slot[0];
#endif
}

/* The largest of all values; all receive it. */
float group_max(const float mine, __local float *slot)
{
#if LOCAL_SIZE == 1
    return mine;
#else
    barrier(CLK_LOCAL_MEM_FENCE);
    slot[get_local_id(0)] = mine;
    barrier(CLK_LOCAL_MEM_FENCE);
    float most = slot[0];
    for (int i = 1; i < LOCAL_SIZE; i++) most = fmax(most, slot[i]);
    return most;
#endif
}

#endif

/* reduce.h - work that the items of a group do together.
 *
 * Functions with a barrier are plain: PoCL crashes on `static inline` ones.
 *
 * Defines   LOCAL_SIZE, a power of two
 */
#ifndef REDUCE_H
#define REDUCE_H

/* Sort sample[size] upwards (bitonic network); `size` is a power of two. */
void sort_together(__local float *sample, const int size)
{
    for (int length = 2; length <= size; length <<= 1)
        for (int stride = length >> 1; stride > 0; stride >>= 1) {
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int i = get_local_id(0); i < size / 2; i += LOCAL_SIZE) {
                const int a = 2 * i - (i & (stride - 1)), b = a + stride;
                const float x = sample[a], y = sample[b];
                const int upwards = (a & length) == 0;
                sample[a] = upwards ? fmin(x, y) : fmax(x, y);
                sample[b] = upwards ? fmax(x, y) : fmin(x, y);
            }
        }
    barrier(CLK_LOCAL_MEM_FENCE);
}

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

/* ring_outliers.cl - values far from the median of their ring, in units of its median absolute deviation.
 *
 * What      sigma = MAD / 0.6745; where MAD = 0, 1.253314 times the mean absolute deviation; never below `least`.
 *           A value is an outlier when |x - median| > threshold * sigma. Values that are not finite are no data and no outliers
 * Launch    one work-group of LOCAL_SIZE per ring
 * In        values [rings][n]  float, NaN = no data
 *           n                  values of a ring
 *           threshold          in units of sigma
 *           least              smallest sigma
 * Out       flags  [rings][n]  1 = outlier, else 0 (CLEAN = 0)
 *           clean  [rings][n]  the values, NaN in place of outliers and of what is not finite (CLEAN = 1)
 *           about  [rings][4]  median, MAD, sigma (NaN without data), number of finite values
 * Defines   LOCAL_SIZE, a power of two; LANES = 1 | 16, values that a work-item looks at side by side; CLEAN = 0 | 1
 * Exact     median and MAD to the bit: the middle value, or the mean of the middle two, as numpy.nanmedian in float32
 * Limits    n < 2^24
 * Method    Iglewicz & Hoaglin (1993), How to Detect and Handle Outliers, also for MAD = 0; selection by bisection of the bits
 *           of the wanted value, two at a time, counting the values below
 * Oracle    tests/oracles/correlate_outliers.py
 */
#include "group_barrier.h"
#include "ring_keys.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_outliers(__global const float *values,
                   const int n,
                   const float threshold,
                   const float least,
                   __global uchar *flags,
                   __global float *clean,
                   __global float *about)
{
#if LOCAL_SIZE > 1
    __local int3 slot[LOCAL_SIZE];
#endif
    const int ring = get_group_id(0), me = get_local_id(0);
    const size_t first = (size_t)ring * n;
    values += first;
    int good = -1; /* finite values; not counted yet */
    int rank = 0;  /* so many are below the lower of the middle two */
    int shift = 0; /* the bits of its key that are looked for next */
    uint base = 0; /* the bits found so far, counted from the lowest key */
    int low = 0, high = 0; /* how many are below base, and below what the bits to come can make of it */
    int3 key = NO_DATA;
    float median = NAN, mad = NAN, sigma = NAN, value = NAN;
    for (int task = COUNT; task != DONE;) { /* one loop: each look with its barriers is slow to build */
        int3 found = look(values, n, median, key, task);
#if LOCAL_SIZE > 1
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        slot[me] = found;
        for (int size = LOCAL_SIZE / 2; size > 0; size >>= 1) {
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            if (me < size) slot[me] = both(slot[me], slot[me + size], task);
        }
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        found = slot[0];
#endif
        int begin = 0; /* a median, of the values or of their distances from the median */
        if (task == COUNT && good < 0) {
            good = found.x;
            rank = (good - 1) / 2;
            begin = good > 0;
            task = good > 0 ? COUNT : DONE;
        } else if (task == COUNT) {
            const int steps = (found.x <= rank) + (found.y <= rank) + (found.z <= rank);
            if (steps) low = steps == 1 ? found.x : steps == 2 ? found.y : found.z;
            if (steps < 3) high = steps == 0 ? found.x : steps == 1 ? found.y : found.z;
            base += (uint)steps << shift;
            shift -= 2;
        } else if (task == SPREAD) {
            sigma = 1.253314f * as_float(found.x) / good;
            task = DONE;
        } else {
            value = task == LOWER ? value_of(found.x) : 0.5f * (value + value_of(found.x));
            const int more = task == LOWER && !(good & 1) && high == rank + 1; /* the upper one is another value */
            key = found.x + 1;
            if (more) task = UPPER;
            else if (isnan(median)) median = value, begin = 1, task = COUNT;
            else mad = value, sigma = mad / 0.6745f, task = mad > 0.0f ? DONE : SPREAD;
        }
        if (begin) base = 0, low = 0, high = good, shift = 30;
        if (task == COUNT) {
            /* Either all bits are known, or one value alone has those that are. */
            if (shift < 0 || high - low == 1) task = LOWER;
            const uint step = task == COUNT ? 1u << shift : 0u;
            key = as_int3(((uint3)(base) + (uint3)(1, 2, 3) * step) ^ 0x80000000u);
        }
    }
    const float limit = threshold * fmax(sigma, least);
#if CLEAN
    clean += first;
    for (int k = me; k < n; k += LOCAL_SIZE) clean[k] = fabs(values[k] - median) <= limit ? values[k] : NAN;
#else
    flags += first;
    for (int k = me; k < n; k += LOCAL_SIZE) flags[k] = isfinite(values[k]) && fabs(values[k] - median) > limit;
#endif
    if (me == 0) vstore4((float4)(median, mad, good > 0 ? fmax(sigma, least) : NAN, good), ring, about);
}

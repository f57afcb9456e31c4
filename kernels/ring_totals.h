/* ring_totals.h - what a frame holds as a whole: the sum of its measurements, the largest one, and how many of each kind.
 *
 * Of whole numbers the sum is exact: it is kept in three numbers of 32 bits, of which `low` has 12 bits, `middle` 20 and
 * `high` the rest, so that a vector of LANES sums takes two additions per pixel and few instructions per segment.
 *
 * A row of totals has eight numbers: four parts of the sum, which are multiples of 1, 2^16, 2^32 and 2^48 and add up modulo 2^64
 * (of floats one part, the bits of the sum); the largest value, as a number that orders as the values do, 0 = none; usable
 * pixels; measurements below zero; saturated pixels, which are among the usable ones alone.
 *
 * Defines   those of ring_pixels.h
 */
#ifndef RING_TOTALS_H
#define RING_TOTALS_H

#include "group_barrier.h"
#include "ring_pixels.h"

#define TOTALS 8
#define SEGMENT (2048 * LANES * LOCAL_SIZE) /* pixels after which numbers are carried: 2^11 numbers of 20 bits are below 2^31 */

#if PIXEL_KIND == 2
#define LEAST_PIXEL (-INFINITY)
#elif PIXEL_KIND == 1
#define LEAST_PIXEL INT_MIN
#else
#define LEAST_PIXEL 0
#endif

/* What a work-item has of a ring. */
typedef struct {
#if PIXEL_KIND == 2
    floats sum;
#else
    wides low, middle, high;
#endif
    wides top;
    ints negative;  /* less the number of measurements below zero */
    uint saturated; /* pixels above the largest valid value */
} Totals;

static inline void clear_totals(Totals *all)
{
#if PIXEL_KIND == 2
    all->sum = 0.0f;
#else
    all->low = all->middle = all->high = 0;
#endif
    all->top = LEAST_PIXEL;
    all->negative = 0;
    all->saturated = 0;
}

#if PIXEL_KIND == 0 && PIXEL_WIDE
#if LANES == 1
#define AS_WIDES as_uint
#elif LANES == 8
#define AS_WIDES as_uint8
#else
#define AS_WIDES as_uint16
#endif
#define CHOSEN(mask, x) ((x) & AS_WIDES(mask))
#elif PIXEL_KIND == 2
#define CHOSEN(mask, x) where(mask, x)
#else
#define CHOSEN(mask, x) ((x) & (mask))
#endif

/* Add the pixels whose mask is set. */
static inline void add_totals(Totals *all, const wides raw, const ints mask)
{
#if PIXEL_KIND == 2
    all->sum += where(mask, raw);
    all->negative += mask & MASK(raw < 0.0f);
    all->top = where(mask, fmax(raw, all->top)) + where(~mask, all->top);
#else
#if PIXEL_WIDE
    all->low += CHOSEN(mask, raw & 4095);
    all->middle += CHOSEN(mask, raw >> 12);
#else
    all->low += CHOSEN(mask, raw);
#endif
#if NEGATIVE
    all->negative += mask & MASK(raw < 0);
#endif
#if PIXEL_KIND == 1
    all->top = max(all->top, CHOSEN(mask, raw) | (~mask & LEAST_PIXEL));
#else
    all->top = max(all->top, CHOSEN(mask, raw));
#endif
#endif
}

/* Saturated pixels of a segment of a ring without a measurement. */
static inline uint saturated_in(const Pixels *in, const int first, const int last)
{
    uint n = 0;
    for (int k = first + get_local_id(0); k < last; k += LOCAL_SIZE)
        n += !isnan(in->weight[k]) && usable(in->frame[in->order[k]]); /* NaN: padding */
    return n;
}

/* Carry, after SEGMENT pixels at most. */
static inline void carry_totals(Totals *all)
{
#if PIXEL_KIND != 2
    all->middle += all->low >> 12;
    all->low &= 4095;
    all->high += all->middle >> 20;
    all->middle &= 0xfffff;
#endif
}

static inline float sum_of_floats(const Totals *all)
{
#if PIXEL_KIND == 2
    return lane_sum(all->sum);
#else
    return 0.0f;
#endif
}

/* A number that orders as the values do; `bits`: of the value. */
static inline uint place_of(const uint bits)
{
#if PIXEL_KIND == 2
    return bits >> 31 ? ~bits : bits | 0x80000000u;
#elif PIXEL_KIND == 1
    return bits ^ 0x80000000u;
#else
    return bits;
#endif
}

/* Write what the work-items of a group have: whole numbers, which may be added in any order. `known`: how many pixels of this
 * work-item are usable, if saturated; `sum`: of floats, of all work-items. */
void write_totals(const Totals *all, const uint known, const float sum, volatile __global uint *out)
{
    uint value[TOTALS] = {0, 0, 0, 0, 0, known, 0, all->saturated};
    const uint *tops = (const uint *)&all->top;
    const int *negatives = (const int *)&all->negative;
    for (int i = 0; i < LANES; i++) {
        value[4] = max(value[4], place_of(tops[i]));
        value[6] -= (uint)negatives[i];
    }
#if PIXEL_KIND == 2
    value[0] = as_uint(sum); /* the same in all work-items */
#else
    const int *low = (const int *)&all->low, *middle = (const int *)&all->middle, *high = (const int *)&all->high;
    long whole = 0;
    for (int i = 0; i < LANES; i++) whole += (long)low[i] + ((long)middle[i] << 12) + ((long)high[i] << 32);
    for (int i = 0; i < 4; i++) value[i] = (uint)(whole >> 16 * i) & 0xffff;
#endif
#if LOCAL_SIZE == 1
    for (int i = 0; i < TOTALS; i++) out[i] = value[i];
#else
    if (get_local_id(0) == 0)
        for (int i = 0; i < TOTALS; i++) out[i] = 0;
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    for (int i = 0; i < TOTALS; i++) {
        if (i == 4 || (PIXEL_KIND == 2 && i == 0))
            atomic_max(out + i, value[i]);
        else
            atomic_add(out + i, value[i]);
    }
#endif
}

#endif

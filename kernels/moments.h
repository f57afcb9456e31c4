/* moments.h - sums over the pixels of a ring that clipping left.
 *
 * With a = s - c w of a pixel, d = a - about w: the sums of 1, d, w, w^2, d^2 and w d. Added in blocks, and the blocks
 * then, so that float32 keeps 1e-6 of sums over any number of pixels. Written without fma(), which some compilers call a
 * function for; they are free to contract these expressions.
 */
#ifndef MOMENTS_H
#define MOMENTS_H

#include "lanes.h"
#include "reduce.h"
#include "ring_start.h"

#define MOMENTS 6

typedef struct {
    floats n, d, w, ww, dd, wd;
} Moments;

static inline void clear(Moments *sum)
{
    sum->n = sum->d = sum->w = sum->ww = sum->dd = sum->wd = 0.0f;
}

static inline void add_pixels(Moments *sum, const floats a, const floats w, const ints in, const float about)
{
    const floats d = where(in, a - about * w), u = where(in, w);
    sum->n += where(in, (floats)1.0f);
    sum->d += d;
    sum->w += u;
    sum->ww += u * u;
    sum->dd += d * d;
    sum->wd += u * d;
}

static inline void add_block(Moments *sum, const Moments *part)
{
    sum->n += part->n;
    sum->d += part->d;
    sum->w += part->w;
    sum->ww += part->ww;
    sum->dd += part->dd;
    sum->wd += part->wd;
}

/* NaN is never inside. */
static inline ints inside(const floats a, const floats w, const float c, const Limits limits)
{
    const floats s = a + c * w;
    const ints below = MASK(a <= limits.high * w) | MASK(s <= limits.floor_count);
    const ints over = MASK(a >= limits.low * w) | (MASK(s == 0.0f) & (limits.zero_stays ? -1 : 0));
    return below & over;
}

static inline void lane_sums(const Moments *mine, float *total)
{
    total[0] = lane_sum(mine->n);
    total[1] = lane_sum(mine->d);
    total[2] = lane_sum(mine->w);
    total[3] = lane_sum(mine->ww);
    total[4] = lane_sum(mine->dd);
    total[5] = lane_sum(mine->wd);
}

#endif

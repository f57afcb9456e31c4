/* moments.h - sums over the pixels of a ring that clipping left.
 *
 * With a = s - c w of a pixel, d = a - about w: the sums of 1, d, w, w^2, d^2 and w d. Added in blocks, and the blocks
 * then, so that float32 keeps 1e-6 of sums over any number of pixels.
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
    const floats d = where(in, fma((floats)-about, w, a)), u = where(in, w);
    sum->n += where(in, (floats)1.0f);
    sum->d += d;
    sum->w += u;
    sum->ww = fma(u, u, sum->ww);
    sum->dd = fma(d, d, sum->dd);
    sum->wd = fma(u, d, sum->wd);
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
    const floats s = fma((floats)c, w, a);
    const ints below = MASK(a <= limits.high * w) | MASK(s <= limits.floor_count);
    const ints over = MASK(a >= limits.low * w) | (MASK(s == 0.0f) & (limits.zero_stays ? -1 : 0));
    return below & over;
}

/* Sums of the whole group, the same for all its work-items. (Has a barrier, so no `static inline`: see reduce.h.) */
void group_moments(const Moments *mine, float *total, __local float *slot)
{
    total[0] = group_sum(lane_sum(mine->n), slot);
    total[1] = group_sum(lane_sum(mine->d), slot);
    total[2] = group_sum(lane_sum(mine->w), slot);
    total[3] = group_sum(lane_sum(mine->ww), slot);
    total[4] = group_sum(lane_sum(mine->dd), slot);
    total[5] = group_sum(lane_sum(mine->wd), slot);
}

#endif

/* ring_pixels.h - the pixels of a frame, ring by ring.
 *
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE, HAS_DARK (pixel.h); LANES, LOCAL_SIZE (lanes.h)
 */
#ifndef RING_PIXELS_H
#define RING_PIXELS_H

#include "lanes.h"

/* Where the pixels of a frame are; the parameters of ring_statistics.cl. */
typedef struct {
    __global const PIXEL_T *frame;
    __global const int *order;
    __global const float *weight;
    __global const float *dark;
    PIXEL_T saturation;
    int bands;
} Pixels;

/* Normalized counts; infinite where there is no measurement. */
static inline float value_at(const Pixels *in, const int k)
{
    const PIXEL_T raw = in->frame[in->order[k]];
    return usable(raw) && raw <= in->saturation ? COUNTS(raw, in->dark, k) / in->weight[k] : INFINITY;
}

/* Counts of LANES pixels less c w; NaN where there is no measurement. `values`: as they are in the frame; `known`: those that are
 * usable, if saturated; `uncounted`: measurements that are not whole, or below zero (of floats alone). */
static inline floats above_at(const Pixels *in, const floats w, const float c, const int k, wides *values, ints *known,
                              ints *uncounted)
{
    const wides raw = GATHER(in->frame, in->order + k);
    *values = raw;
    floats a = TO_FLOATS(raw);
    if (c != 0.0f) a = counts_above(raw, c, w);
#if HAS_DARK
    a -= FLOATS(__global const, in->dark, k);
#endif
    *known = usable_lanes(raw);
    const ints good = *known & MASK(raw <= WIDE(in->saturation));
#if PIXEL_KIND == 2
    *uncounted = good & (MASK(raw != rint(raw)) | MASK(raw < 0.0f));
#endif
    return AS_FLOATS((AS_INTS(a) & good) | (AS_INTS((floats)NAN) & ~good));
}

#endif

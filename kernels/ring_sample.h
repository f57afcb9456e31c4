/* ring_sample.h - measurements spread over a ring, from which clipping begins.
 *
 * Defines   GROUP; and those of ring_pixels.h
 */
#ifndef RING_SAMPLE_H
#define RING_SAMPLE_H

#include "ring_pixels.h"
#include "ring_start.h"

#define LEAST_SAMPLE 32

/* (No `static inline`: see reduce.h.)
 * Fill `sample` with the normalized counts of SAMPLE pixels of a ring, those without a measurement infinite; how many
 * measurements there are. Where most of the sample is unusable, the first pixels that are not.
 * `size`: pixels of the ring. `count` passes the number from one work-item to all. */
int take_sample(const Pixels *in, __global const int *segment, __global const int *pixels, __global const float2 *values,
                const float size, __local float *sample, __local int *count)
{
    for (int i = get_local_id(0); i < SAMPLE; i += LOCAL_SIZE) {
        const int pixel = pixels[i];
        const PIXEL_T raw = LOADED(PIXEL_T, in->frame, max(pixel, 0));
        const float2 value = values[i];
        sample[i] = pixel >= 0 && usable(raw) && raw <= in->saturation ? ((float)raw - value.y) / value.x : INFINITY;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        int n = 0;
        for (int i = 0; i < SAMPLE; i++) n += sample[i] < INFINITY;
        if (n < LEAST_SAMPLE && size > SAMPLE) {
            n = 0;
            for (int band = 0; band < in->bands; band++)
                for (int k = segment[band * GROUP]; k < segment[band * GROUP + 1] && n < SAMPLE; k++) {
                    const float v = value_at(in, k);
                    if (v < INFINITY) sample[n++] = v; /* not NaN, in the padding */
                }
            for (int i = n; i < SAMPLE; i++) sample[i] = INFINITY;
        }
        *count = n;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return *count;
}

#endif

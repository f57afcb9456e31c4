/* ring_sample.h - measurements spread over a ring, from which clipping begins.
 *
 * Defines   GROUP; and those of ring_pixels.h
 */
#ifndef RING_SAMPLE_H
#define RING_SAMPLE_H

#include "group_barrier.h"
#include "ring_pixels.h"
#include "ring_start.h"

#define LEAST_SAMPLE 32

/* What clipping begins from, besides the sample. */
typedef struct {
    int known;                                     /* measurements in the sample */
    int fractional;                                /* whether one of them is not whole */
    float mean_weight, heaviest, lightest, usable; /* of the pixels of the ring that are measurements, and their number */
} Seen;

/* (No `static inline`: see reduce.h.)
 * Fill `sample` with the normalized counts of SAMPLE pixels of a ring, those without a measurement infinite, and `seen`, which
 * all work-items share. Where most of the sample is unusable, the first pixels that are not.
 * `about`: mean, largest and smallest weight of the pixels of the ring, and their number. Of the measurements these are exact
 * where the sample holds them all; elsewhere they hardly differ, but for the number, which has their share in the sample. */
void take_sample(const Pixels *in, __global const int *segment, __global const int *pixels, __global const float2 *values,
                 const float4 about, __local float *sample, __local Seen *seen)
{
#if PIXEL_KIND == 2
    if (get_local_id(0) == 0) seen->fractional = 0;
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
#endif
    for (int i = get_local_id(0); i < SAMPLE; i += LOCAL_SIZE) {
        const int pixel = pixels[i];
        const PIXEL_T raw = LOADED(PIXEL_T, in->frame, max(pixel, 0));
        const float2 value = values[i];
        sample[i] = pixel >= 0 && usable(raw) && raw <= in->saturation ? ((float)raw - value.y) / value.x : INFINITY;
#if PIXEL_KIND == 2
        if (pixel >= 0 && usable(raw) && raw != rint(raw)) seen->fractional = 1;
#endif
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        int n = 0;
        for (int i = 0; i < SAMPLE; i++) n += sample[i] < INFINITY;
        const int whole = about.w <= SAMPLE;
        float sum = 0.0f, most = 0.0f, least = INFINITY, usable_pixels = whole ? n : fmax(about.w * n / SAMPLE, SAMPLE);
        if (n < LEAST_SAMPLE && !whole) {
            n = 0;
            for (int band = 0; band < in->bands; band++)
                for (int k = segment[band * GROUP]; k < segment[band * GROUP + 1] && n < SAMPLE; k++) {
                    const float v = value_at(in, k), w = in->weight[k];
                    if (!(v < INFINITY)) continue; /* nor NaN, in the padding */
                    sample[n++] = v;
                    sum += w, most = fmax(most, w), least = fmin(least, w);
                }
            for (int i = n; i < SAMPLE; i++) sample[i] = INFINITY;
            if (n < SAMPLE) usable_pixels = n;
        } else if (whole && n < about.w) {
            for (int i = 0; i < SAMPLE; i++) {
                if (!(sample[i] < INFINITY)) continue;
                const float w = values[i].x;
                sum += w, most = fmax(most, w), least = fmin(least, w);
            }
        }
        const int exact = sum > 0.0f && n < SAMPLE;
        seen->known = n;
        seen->mean_weight = exact ? sum / n : about.x;
        seen->heaviest = exact ? most : about.y;
        seen->lightest = exact ? least : about.z;
        seen->usable = usable_pixels;
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
}

#endif

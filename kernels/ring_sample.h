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
#define CHOSEN_WORDS ((LOCAL_SIZE + 31) / 32)

/* What clipping begins from, besides the sample. */
typedef struct {
    int known;                                     /* measurements in the sample */
    int fractional;                                /* whether one of them is not whole */
    float mean_weight, heaviest, lightest, usable; /* of the pixels of the ring that are measurements, and their number */
    uint chosen[CHOSEN_WORDS];                           /* a bit for each work-item */
    float weight[SAMPLE];                          /* of the first measurements */
} Seen;

/* (No `static inline`: see reduce.h.)
 * Fill `sample` and `seen->weight` with the first measurements of a ring, and return how many there are, at most SAMPLE.
 * Work-items look at pixels side by side; it is called by all of them or by none. */
int first_measurements(const Pixels *in, __global const int *segment, __local float *sample, __local Seen *seen)
{
    const int me = get_local_id(0);
    int n = 0;
    for (int band = 0; band < in->bands; band++) {
        const int last = segment[band * GROUP + 1];
        for (int first = segment[band * GROUP]; first < last && n < SAMPLE; first += LOCAL_SIZE) {
            const float v = first + me < last ? value_at(in, first + me) : INFINITY;
            const int chosen = v < INFINITY; /* nor NaN, in the padding */
            int place = n;
#if LOCAL_SIZE == 1
            n += chosen;
#else
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            if (me < CHOSEN_WORDS) seen->chosen[me] = 0;
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            if (chosen) atomic_or(&seen->chosen[me / 32], 1u << me % 32);
            GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
            for (int i = 0; i < CHOSEN_WORDS; i++) {
                const uint bits = seen->chosen[i];
                n += popcount(bits);
                place += popcount(i < me / 32 ? bits : i == me / 32 ? bits & ((1u << me % 32) - 1u) : 0u);
            }
#endif
            if (!chosen || place >= SAMPLE) continue;
            sample[place] = v;
            seen->weight[place] = in->weight[first + me];
        }
    }
    return min(n, SAMPLE);
}

/* (No `static inline`: see reduce.h.)
 * Fill `sample` with the normalized counts of SAMPLE pixels of a ring, those without a measurement infinite, and `seen`, which
 * all work-items share. Where most of the sample is unusable, the first pixels that are not.
 * `about`: mean, largest and smallest weight of the pixels of the ring, and their number. Of the measurements these are exact
 * where the sample holds them all; elsewhere they hardly differ, but for the number, which has their share in the sample. */
void take_sample(const Pixels *in, __global const int *segment, __global const int *pixels, __global const float2 *values,
                 const float4 about, __local float *sample, __local Seen *seen)
{
    const int me = get_local_id(0), whole = about.w <= SAMPLE;
    int fractional = 0;
    if (me == 0) seen->fractional = 0;
    for (int i = me; i < SAMPLE; i += LOCAL_SIZE) {
        const int pixel = pixels[i];
        const PIXEL_T raw = LOADED(PIXEL_T, in->frame, max(pixel, 0));
        const float2 value = values[i];
        sample[i] = pixel >= 0 && usable(raw) && raw <= in->saturation ? ((float)raw - value.y) / value.x : INFINITY;
#if PIXEL_KIND == 2
        fractional |= pixel >= 0 && usable(raw) && raw != rint(raw);
#endif
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    if (fractional) atomic_or(&seen->fractional, 1);
    int n = 0;
    for (int i = 0; i < SAMPLE; i++) n += sample[i] < INFINITY;
    const int few = n < LEAST_SAMPLE && !whole; /* the same for all work-items */
    float usable_pixels = whole ? n : fmax(about.w * n / SAMPLE, SAMPLE);
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    if (few) {
        n = first_measurements(in, segment, sample, seen);
        for (int i = n + me; i < SAMPLE; i += LOCAL_SIZE) sample[i] = INFINITY;
        if (n < SAMPLE) usable_pixels = n;
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    }
    if (me == 0) {
        float sum = 0.0f, most = 0.0f, least = INFINITY;
        for (int i = 0; i < n && few; i++) {
            const float w = seen->weight[i];
            sum += w, most = fmax(most, w), least = fmin(least, w);
        }
        for (int i = 0; i < SAMPLE && whole && n < about.w; i++) {
            if (!(sample[i] < INFINITY)) continue;
            const float w = values[i].x;
            sum += w, most = fmax(most, w), least = fmin(least, w);
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

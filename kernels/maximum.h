/* maximum.h - whether a pixel is the highest of its neighbourhood, and how many pixels there stand out.
 *
 * Masked and unusable neighbours are passed over; the border is no border. Raw counts are compared as they are, so equal counts are
 * equal: of those the pixel with the lowest number is the highest.
 *
 * Defines   REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5; those of pixel.h and significance.h
 */
#ifndef MAXIMUM_H
#define MAXIMUM_H

#include "pixel.h"
#include "significance.h"

/* What neighbours are judged by; the parameters of find_maxima.cl. */
typedef struct {
    __global const PIXEL_T *frame;
    __global const float *position, *weight, *dark;
    __global const float4 *table;
    __global const float2 *pick_reach;
    __global const float *pick_curve;
    int rings, height, width;
    PIXEL_T saturation;
    float noise2, pick_k;
} Maximum;

static inline int is_highest(const Maximum *in, const uint pixel)
{
    const PIXEL_T raw = min(in->frame[pixel], in->saturation);
    const int slow = pixel / in->width, fast = pixel % in->width;
    const int slow_to = min(slow + REACH, in->height - 1), fast_to = min(fast + REACH, in->width - 1);
    int highest = 1;
    for (int i = max(slow - REACH, 0); i <= slow_to && highest; i++)
        for (int j = max(fast - REACH, 0); j <= fast_to; j++) {
            const uint other = (uint)i * (uint)in->width + (uint)j;
            const PIXEL_T level = min(in->frame[other], in->saturation);
            if ((level > raw || (level == raw && other < pixel)) && usable(in->frame[other]) && !isnan(in->position[other]))
                highest = 0;
        }
    return highest;
}

/* Pixels of the neighbourhood, the pixel itself included, that are above SNR_pick. */
static inline int pixels_above(const Maximum *in, const uint pixel)
{
    const int slow = pixel / in->width, fast = pixel % in->width;
    const int slow_to = min(slow + REACH, in->height - 1), fast_to = min(fast + REACH, in->width - 1);
    int above = 0;
    for (int i = max(slow - REACH, 0); i <= slow_to; i++)
        for (int j = max(fast - REACH, 0); j <= fast_to; j++) {
            const uint other = (uint)i * (uint)in->width + (uint)j;
            const PIXEL_T value = in->frame[other];
            if (!usable(value) || isnan(in->position[other])) continue;
            above += value > in->saturation ||
                     significant(COUNTS(value, in->dark, other), in->weight[other], in->position[other], in->pick_reach, in->table,
                                 in->rings, in->noise2, in->pick_k, in->pick_curve);
        }
    return above;
}

#endif

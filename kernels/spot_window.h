/* spot_window.h - the square of pixels around a maximum, a row of bits for each of its rows.
 *
 * The items of a group share a window. An item that is alone, of a CPU, tests the rows that it needs.
 *
 * Defines   those of pixel.h and significance.h; LOCAL_SIZE = 1 | 32
 *           REACH: 1 for a neighbourhood of 3 x 3, 2 for 5 x 5
 */
#ifndef SPOT_WINDOW_H
#define SPOT_WINDOW_H

#include "pixel.h"
#include "significance.h"
#include "spot_share.h"

#define FAR 4 /* pixels from a maximum in which the outskirts of its spot are looked for */
#define SIDE (2 * FAR + 1)
#define ROW ((1 << SIDE) - 1)

#define EACH_ROW(i) for (int i = get_local_id(0); i < SIDE; i += LOCAL_SIZE)
#define EACH_PIXEL(i, j)                                                                                \
    for (int p = get_local_id(0), i = p / SIDE, j = p % SIDE; p < SIDE * SIDE; p += LOCAL_SIZE, i = p / SIDE, j = p % SIDE)

/* Rows of bits of a window, bit j is column j. */
typedef struct {
    uint good[SIDE], picked[SIDE], sure[SIDE]; /* measurements; above SNR_pick; and above the surer threshold */
    uint core[SIDE], skirt[SIDE], wide[SIDE];  /* pixels of a member: neighbourhood, and two kinds of outskirts */
} Window;

/* The frame and what its pixels are judged by; the parameters of the kernels. */
typedef struct {
    __global const PIXEL_T *frame;
    __global const float *position, *weight, *dark;
    __global const float4 *table;
    float noise2;
    PIXEL_T saturation;
    int rings, height, width;
} Pixels;

/* Thresholds of the outskirts. */
typedef struct {
    __global const float4 *levels; /* of each ring the reach of SNR_pick, and that of the surer threshold */
    __global const float *pick_curve, *sure_curve;
    float pick_k, sure_k;
} Levels;

/* Bits of a row that the neighbourhood covers. */
static inline uint core_row(const int i)
{
    return abs(i - FAR) <= REACH ? ((1u << (2 * REACH + 1)) - 1) << (FAR - REACH) : 0;
}

/* A row of the set and of those beside it, one pixel wider on all sides. */
static inline uint wider_row(const uint *rows, const int i)
{
    const uint three = rows[i] | (i > 0 ? rows[i - 1] : 0) | (i < SIDE - 1 ? rows[i + 1] : 0);
    return (three | three << 1 | three >> 1) & ROW;
}

/* Of counts between the reaches of a threshold: whether they are above it. */
static inline uint test_counts(const Pixels *in, const uint pixel, const float k, __global const float *curve)
{
    const float4 ring = background_at(in->table, in->rings, in->position[pixel]);
    return COUNTS(in->frame[pixel], in->dark, pixel) > significant_counts(ring, in->weight[pixel], in->noise2, k, curve);
}

/* Of a pixel of the frame: 1 = it holds a measurement; 2, 8 = counts up to which it is certainly not above SNR_pick, or the surer
 * threshold, are exceeded; 4, 16 = and those above which it certainly is. Without a branch that could not be foreseen. */
static inline uint look_at(const Pixels *in, const Levels *at, const uint pixel)
{
    const PIXEL_T raw = in->frame[pixel];
    const float place = in->position[pixel], w = in->weight[pixel], s = COUNTS(raw, in->dark, pixel);
    const uint good = usable(raw) && !isnan(place);
    const int ring = ring_at(good ? place : 0.0f, in->rings);
    const float4 level = LOADED(float4, at->levels, ring);
    return good | (s > level.x * w) << 1 | (s > level.y * w) << 2 | (s > level.z * w) << 3 | (s > level.w * w) << 4;
}

#if LOCAL_SIZE == 1
/* Test a row of the window around a pixel. */
static inline void test_row(SHARED Window *window, const Pixels *in, const Levels *at, const int i, const int slow, const int fast)
{
    const int y = slow + i - FAR;
    if (y < 0 || y >= in->height) return;
    const uint row = (uint)y * (uint)in->width + (uint)fast - FAR;
    uint good = 0, above = 0, surely = 0, picked = 0, sure = 0;
    for (int j = max(FAR - fast, 0); j < min(in->width - fast + FAR, SIDE); j++) {
        const uint is = look_at(in, at, row + j);
        good |= (is & 1) << j;
        above |= (is >> 1 & 1) << j;
        picked |= (is >> 2 & 1) << j;
        surely |= (is >> 3 & 1) << j;
        sure |= (is >> 4 & 1) << j;
    }
    picked &= good, above &= good;
    for (uint test = above & ~picked; test != 0; test &= test - 1) {
        const int j = 31 - clz(test & -test);
        picked |= test_counts(in, row + j, at->pick_k, at->pick_curve) << j;
    }
    sure &= picked;
    for (uint test = surely & picked & ~sure; test != 0; test &= test - 1) {
        const int j = 31 - clz(test & -test);
        sure |= test_counts(in, row + j, at->sure_k, at->sure_curve) << j;
    }
    window->good[i] = good;
    window->picked[i] = picked;
    window->sure[i] = sure;
}
#else
/* Test all pixels of the window around a pixel. */
static inline void test_window(SHARED Window *window, const Pixels *in, const Levels *at, const int slow, const int fast)
{
    EACH_PIXEL(i, j)
    {
        const int y = slow + i - FAR, x = fast + j - FAR;
        if (y < 0 || y >= in->height || x < 0 || x >= in->width) continue;
        const uint pixel = (uint)y * (uint)in->width + (uint)x, is = look_at(in, at, pixel);
        if (!(is & 1)) continue;
        const uint picked = is >> 2 & 1 || (is >> 1 & 1 && test_counts(in, pixel, at->pick_k, at->pick_curve));
        const uint sure = picked && (is >> 4 & 1 || (is >> 3 & 1 && test_counts(in, pixel, at->sure_k, at->sure_curve)));
        SET_BITS(window->good[i], 1u << j);
        SET_BITS(window->picked[i], picked << j);
        SET_BITS(window->sure[i], sure << j);
    }
}
#endif

/* Touch the rows of a window, from `far` above to `far` below its pixel, that a CPU will need. */
static inline void touch_window(const Pixels *in, const uint pixel, const int far)
{
#if ON_CPU
    const int slow = pixel / in->width, fast = pixel % in->width;
    const int from = max(fast - FAR, 0), to = min(fast + FAR, in->width - 1);
    for (int y = max(slow - far, 0); y <= min(slow + far, in->height - 1); y++) {
        const uint row = (uint)y * (uint)in->width;
        TOUCH_LINE(PIXEL_T, in->frame, row + from), TOUCH_LINE(PIXEL_T, in->frame, row + to);
        TOUCH_LINE(float, in->position, row + from), TOUCH_LINE(float, in->position, row + to);
        TOUCH_LINE(float, in->weight, row + from), TOUCH_LINE(float, in->weight, row + to);
    }
#endif
}

#endif

/* pixel.h - what a raw pixel value means.
 *
 * Defines   PIXEL_T = uchar | ushort | uint | short | int | float
 *           PIXEL_KIND = 0 unsigned | 1 signed | 2 float
 *           PIXEL_WIDE = 1 for whole numbers of 32 bits, which a float does not hold exactly
 *           HAS_DARK = 0 | 1
 */
#ifndef PIXEL_H
#define PIXEL_H

/* A pixel of this frame that holds a measurement: not the all-ones value, not negative, not NaN or infinite. */
static inline int usable(const PIXEL_T raw)
{
#if PIXEL_KIND == 0
    return raw != (PIXEL_T)~(PIXEL_T)0;
#elif PIXEL_KIND == 1
    return raw >= 0;
#else
    return isfinite(raw);
#endif
}

/* A load that compilers leave as it is: of loads that stand together they make gather instructions, which take longer than
 * the loads on some processors. Where the value is not used, it brings a cache line that will be needed. */
#define LOADED(type, array, place) (*(volatile __global const type *)((array) + (place)))

/* Counts after the dark frame: exact below 2^24, and from there on rounded to 24 significant bits. */
#if HAS_DARK
#define COUNTS(raw, dark, place) ((float)(raw) - (dark)[place])
#else
#define COUNTS(raw, dark, place) ((float)(raw))
#endif

#endif

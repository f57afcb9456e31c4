/* pixel.h - what a raw pixel value means.
 *
 * Defines   PIXEL_T = uchar | ushort | uint | short | int | float
 *           PIXEL_KIND = 0 unsigned | 1 signed | 2 float
 *           PIXEL_WIDE = 1 for whole numbers of 32 bits, which a float does not hold exactly
 *           HAS_DARK = 0 | 1
 *           LOWEST: the smallest measurement; where there is a limit. NEGATIVE = 1 for signed integers with measurements below
 *           zero: they are no photon counts. MARKS = 0 | 1 | 2; MARK_1, MARK_2: values that mean "no measurement".
 *           ON_CPU = 1 where the device shares the memory of the host (crystint/engine/engine.py)
 */
#ifndef PIXEL_H
#define PIXEL_H

/* Whether raw values, one or a vector of them, are measurements: finite, not below a limit, no mark. */
#if PIXEL_KIND == 2
#define FINITE(raw) ((raw) - (raw) == 0.0f)
#else
#define FINITE(raw) ((raw) == (raw))
#endif
#ifdef LOWEST
#define NOT_TOO_LOW(raw) ((raw) >= LOWEST)
#else
#define NOT_TOO_LOW(raw) FINITE(raw)
#endif
#if MARKS == 2
#define NO_MARK(raw) (((raw) != MARK_1) & ((raw) != MARK_2))
#elif MARKS == 1
#define NO_MARK(raw) ((raw) != MARK_1)
#else
#define NO_MARK(raw) FINITE(raw)
#endif
#define MEASURED(raw) (FINITE(raw) & NOT_TOO_LOW(raw) & NO_MARK(raw))

/* A pixel of this frame that holds a measurement. */
static inline int usable(const PIXEL_T raw)
{
    return MEASURED(raw);
}

/* LOADED: a load that the compilers of CPUs leave as it is: of loads that stand together they make gather instructions, which take
 * longer than the loads on some processors. TOUCH_LINE: on a CPU, brings a cache line that will be needed. GPUs have other ways to
 * wait, and would pass by their nearest cache. */
#if ON_CPU
#define LOADED(type, array, place) (*(volatile __global const type *)((array) + (place)))
#define TOUCH_LINE(type, array, place) ((void)LOADED(type, array, place))
#else
#define LOADED(type, array, place) ((array)[place])
#define TOUCH_LINE(type, array, place) ((void)(place))
#endif

/* Counts after the dark frame: exact below 2^24, and from there on rounded to 24 significant bits. */
#if HAS_DARK
#define COUNTS(raw, dark, place) ((float)(raw) - (dark)[place])
#else
#define COUNTS(raw, dark, place) ((float)(raw))
#endif

#endif

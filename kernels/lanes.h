/* lanes.h - LANES pixels worked on side by side: vectors on CPUs, one pixel per work-item on GPUs.
 *
 * A mask has all bits of a lane set, or none, whatever LANES is.
 *
 * Defines   LANES = 1 | 8 | 16; LOCAL_SIZE; one of the two is 1
 *           PIXEL_T, PIXEL_KIND, PIXEL_WIDE and those of measurements (pixel.h)
 */
#ifndef LANES_H
#define LANES_H

#include "pixel.h"

/* GATHER: the pixels of an array whose LANES numbers stand at o; ENTRIES: those of a table of any type. */
#define FOUR(type, array, o)                                                                           \
    LOADED(type, array, (o)[0]), LOADED(type, array, (o)[1]), LOADED(type, array, (o)[2]), \
        LOADED(type, array, (o)[3])

#if LANES == 1
typedef float floats;
typedef int ints;
typedef uint uints;
#define MASK(condition) (-(condition))
#define GATHER(array, o) WIDE((array)[*(o)])
#define ENTRIES(type, array, o) ((array)[*(o)])
#define AS_INTS as_int
#define AS_UINTS as_uint
#define AS_FLOATS as_float
#define TO_FLOATS convert_float
#define TO_INTS convert_int
#elif LANES == 8
typedef float8 floats;
typedef int8 ints;
typedef uint8 uints;
#define MASK(condition) (condition)
#define GATHER(array, o) (wides)(FOUR(PIXEL_T, array, o), FOUR(PIXEL_T, array, (o) + 4))
#define ENTRIES(type, array, o) (VECTOR_OF(type, 8))(FOUR(type, array, o), FOUR(type, array, (o) + 4))
#define AS_INTS as_int8
#define AS_UINTS as_uint8
#define AS_FLOATS as_float8
#define TO_FLOATS convert_float8
#define TO_INTS convert_int8
#else
typedef float16 floats;
typedef int16 ints;
typedef uint16 uints;
#define MASK(condition) (condition)
#define GATHER(array, o) \
    (wides)(FOUR(PIXEL_T, array, o), FOUR(PIXEL_T, array, (o) + 4), FOUR(PIXEL_T, array, (o) + 8), FOUR(PIXEL_T, array, (o) + 12))
#define AS_INTS as_int16
#define AS_FLOATS as_float16
#define TO_FLOATS convert_float16
#endif

/* LANES values from any place, or to it. Not vload and vstore: some compilers call a function for each. */
typedef floats __attribute__((aligned(4))) loose_floats;
typedef ints __attribute__((aligned(4))) loose_ints;
#define FLOATS(space, array, place) (*(space loose_floats *)((array) + (place)))
#define INTS(space, array, place) (*(space loose_ints *)((array) + (place)))

/* Raw values, widened: int holds all whole numbers but uint. */
#if PIXEL_KIND == 2
typedef floats wides;
#define WIDE(x) (x)
#elif PIXEL_KIND == 0 && PIXEL_WIDE
typedef uints wides;
#define WIDE(x) (x)
#else
typedef ints wides;
#define WIDE(x) ((int)(x))
#endif

#define PASTED(a, b) a##b
#define VECTOR_OF(type, n) PASTED(type, n)
#if LANES == 1
#define ALL_LANES(type) type
#else
#define ALL_LANES(type) VECTOR_OF(type, LANES)
#endif
/* From any numbers, one of each lane, to wide ones. */
#if PIXEL_KIND == 2
#define WIDENED ALL_LANES(convert_float)
#elif PIXEL_KIND == 0 && PIXEL_WIDE
#define WIDENED ALL_LANES(convert_uint)
#else
#define WIDENED ALL_LANES(convert_int)
#endif

#if LANES > 1
/* Raw values of LANES pixels that stand together. */
typedef VECTOR_OF(PIXEL_T, LANES) __attribute__((aligned(sizeof(PIXEL_T)))) loose_pixels;
#define PIXELS(array, place) WIDENED(*(__global const loose_pixels *)((array) + (place)))
#endif

/* Raw values from wide ones, which they hold. */
#define NARROWED VECTOR_OF(VECTOR_OF(convert_, PIXEL_T), LANES)

/* x where the mask is set, 0 elsewhere. */
static inline floats where(const ints mask, const floats x)
{
    return AS_FLOATS(AS_INTS(x) & mask);
}

static inline int any_lane(const ints mask)
{
#if LANES == 1
    return mask;
#elif LANES == 8
    const ulong2 half_mask = as_ulong2(mask.lo | mask.hi);
    return (half_mask.x | half_mask.y) != 0;
#else
    const int8 eight = mask.lo | mask.hi;
    const ulong2 half_mask = as_ulong2(eight.lo | eight.hi);
    return (half_mask.x | half_mask.y) != 0;
#endif
}

static inline float lane_sum(const floats x)
{
#if LANES == 1
    return x;
#elif LANES == 8
    const float4 half_sum = x.lo + x.hi;
    const float2 pair = half_sum.lo + half_sum.hi;
    return pair.x + pair.y;
#else
    const float8 eight = x.lo + x.hi;
    const float4 half_sum = eight.lo + eight.hi;
    const float2 pair = half_sum.lo + half_sum.hi;
    return pair.x + pair.y;
#endif
}

/* A bit for each lane of a mask. */
static inline uint lane_bits(const ints mask)
{
#if LANES == 1
    return mask & 1;
#elif LANES == 8
    const int8 bit = mask & (int8)(1, 2, 4, 8, 16, 32, 64, 128);
    const int4 four = bit.lo | bit.hi;
    const int2 two = four.lo | four.hi;
    return two.x | two.y;
#else
    const int16 bit = mask & (int16)(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
    const int8 eight = bit.lo | bit.hi;
    const int4 four = eight.lo | eight.hi;
    const int2 two = four.lo | four.hi;
    return two.x | two.y;
#endif
}

/* Masks of the pixels that hold a measurement (pixel.h, `usable`). */
static inline ints usable_lanes(const wides raw)
{
    return MASK(MEASURED(raw));
}

/* s - c w without losing what the two have in common. Whole numbers of 32 bits go in two parts that floats hold. */
static inline floats counts_above(const wides raw, const float c, const floats w)
{
#if PIXEL_WIDE
    const floats high = TO_FLOATS(AS_INTS(raw >> 12)) * 4096.0f, low = TO_FLOATS(AS_INTS(raw & 4095));
    const floats product = c * w, rest = fma((floats)c, w, -product);
    return (high - product) + (low - rest);
#else
    return TO_FLOATS(raw) - c * w;
#endif
}

#endif

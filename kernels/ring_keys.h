/* ring_keys.h - values of a ring as integers in the order of the values, and looks at all of them.
 *
 * Defines   LOCAL_SIZE; LANES = 1 | 16, values that a work-item looks at side by side
 */
#ifndef RING_KEYS_H
#define RING_KEYS_H

#if LANES == 1
typedef float floats;
typedef int ints;
#define LOAD(array, place) ((array)[place])
#define TO_INTS as_int
#define BELOW(a, b) (-((a) < (b)))
#define LANE_SUM(x) (x)
#define LANE_MIN(x) (x)
#else
typedef float16 floats;
typedef int16 ints;
typedef float16 __attribute__((aligned(4))) loose_floats;
#define LOAD(array, place) (*(__global const loose_floats *)((array) + (place)))
#define TO_INTS as_int16
#define BELOW(a, b) ((a) < (b))
static inline int LANE_SUM(const ints x)
{
    const int8 eight = x.lo + x.hi;
    const int4 four = eight.lo + eight.hi;
    return four.x + four.y + four.z + four.w;
}
static inline int LANE_MIN(const ints x)
{
    const int8 eight = min(x.lo, x.hi);
    const int4 four = min(eight.lo, eight.hi);
    return min(min(four.x, four.y), min(four.z, four.w));
}
#endif

#define NO_DATA 0x7f800000 /* the key of infinity; NaN is above */

/* Integers in the order of the values; all that is not finite comes last. Distances from `about` unless that is NaN. */
static inline ints key_of(const floats x, const float about)
{
    const floats size = fabs(x);
    const ints known = BELOW(TO_INTS(size), (ints)NO_DATA);
    const ints bits = isnan(about) ? TO_INTS(x) : TO_INTS(fabs(x - about));
    return ((bits ^ ((bits >> 31) & 0x7fffffff)) & known) | (~known & (ints)NO_DATA);
}

static inline float value_of(const int key)
{
    return as_float(key ^ ((key >> 31) & 0x7fffffff));
}

/* What a look at all values of the ring is for. */
enum { COUNT, LOWER, UPPER, SPREAD, DONE };

/* COUNT: how many keys are below each of three; LOWER, UPPER: the smallest that is not below the first; SPREAD: sum of |x - about|, as bits. */
static inline int3 look(__global const float *values, const int n, const float about, const int3 key, const int task)
{
    const int me = get_local_id(0), whole = n / LANES * LANES;
    int3 found = 0;
    if (task != COUNT) found.x = NO_DATA;
    if (task == COUNT) {
        ints a = 0, b = 0, c = 0;
        for (int k = me * LANES; k < whole; k += LOCAL_SIZE * LANES) {
            const ints mine = key_of(LOAD(values, k), about);
            a += BELOW(mine, (ints)key.x);
            b += BELOW(mine, (ints)key.y);
            c += BELOW(mine, (ints)key.z);
        }
        found = -(int3)(LANE_SUM(a), LANE_SUM(b), LANE_SUM(c));
    } else if (task != SPREAD) {
        ints best = NO_DATA;
        for (int k = me * LANES; k < whole; k += LOCAL_SIZE * LANES) {
            const ints mine = key_of(LOAD(values, k), about), below = BELOW(mine, (ints)key.x);
            best = min(best, (mine & ~below) | (below & (ints)NO_DATA));
        }
        found.x = LANE_MIN(best);
    } else {
        float sum = 0.0f;
        for (int k = me; k < n; k += LOCAL_SIZE) sum += isfinite(values[k]) ? fabs(values[k] - about) : 0.0f;
        found.x = as_int(sum);
    }
#if LANES > 1
    for (int k = whole + me; k < n && task != SPREAD; k += LOCAL_SIZE) {
        const int mine = key_of((floats)values[k], about).s0;
        if (task == COUNT) found -= mine < key;
        else if (mine >= key.x) found.x = min(found.x, mine);
    }
#endif
    return found;
}

static inline int3 both(const int3 a, const int3 b, const int task)
{
    if (task == COUNT) return a + b;
    return (int3)(task == SPREAD ? as_int(as_float(a.x) + as_float(b.x)) : min(a.x, b.x), 0, 0);
}

#endif

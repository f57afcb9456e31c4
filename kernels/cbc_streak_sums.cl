/* cbc_streak_sums.cl - sums over the rows of every convergent-beam streak, for a step or for the objective.
 *
 * What      lambda = background + sum over the rows of a pixel ( |q|^2 a + b ), and of each streak
 *           step:       sum of a I / lambda, of I / lambda, and of a
 *           objective:  sum of a df/dlambda, of df/dlambda, and of f, which each pixel adds to one of its rows' streaks
 * Launch    one work-group of LOCAL_SIZE per streak
 * In        amplitude  [rows + 16]   a = chi f^2
 *           background [rows + 16]   counts
 *           above      [rows + 16]   counts less background, I - background
 *           link       [rows + 16]   first entry in `shared`, or -1 (cbc_rows.h)
 *           shared     [entries]     rows of pixels that have several
 *           start      [streaks + 1] streak s has the rows start[s] .. start[s + 1] - 1
 *           reflection [streaks]
 *           b          [streaks]     intercepts, counts
 *           q2         [reflections] |q|^2, counts
 *           streaks
 *           table      [NODES]       criteria 5 and 6: M and its slope (crystint/cbc/scaling/robust.py)
 * Out       sums       [3][streaks]  of Poisson's f, less m - I log(m), m = max(I, 1)
 * Defines   LOCAL_SIZE, a power of two; LANES = 1 | 16, one of the two is 1
 *           CRITERION = 0 step | 1 Poisson | 2 l2 | 3 l1 | 4 Huber | 5, 6 the last two without their bias
 *           FLOOR, HUBER: crystint/cbc/scaling/objective.py; OCTAVE, NODES: of `table`
 * Exact     float, with rounding errors carried along: 1e-6 of the sum of absolute terms; always in the same order
 * Limits    rows < 2^31; what reads beyond a streak's end, at most 15 rows, is not used
 * Method    crystint/cbc/scaling/sums.py, objective.py. Differences of counts and model are made before anything is rounded to
 *           the size of a background
 * Oracle    tests/oracles/cbc_scaling.py
 */
#include "cbc_rows.h"
#include "reduce.h"

#if CRITERION > 4
/* M(lambda) and its slope: cubics between the nodes of the table. */
static inline float2 skew(const float expected, __global const float2 *table)
{
    const float place = clamp((log2(expected) - log2(FLOOR)) * OCTAVE, 0.0f, NODES - 1.01f);
    const int node = (int)place;
    const float t = place - node;
    const float2 one = table[node], other = table[node + 1];
    const float third = one.y + other.y - 2.0f * (other.x - one.x);
    const float second = 3.0f * (other.x - one.x) - 2.0f * one.y - other.y;
    const float slope = one.y + t * (2.0f * second + 3.0f * t * third);
    return (float2)(one.x + t * (one.y + t * (second + t * third)), slope * OCTAVE / (M_LN2_F * expected));
}

/* What a pixel adds to f, and df/dlambda. */
static inline float robust_value(const float counts, const float expected, __global const float2 *table, float *slope)
{
    const float safe = fmax(expected, FLOOR), root = sqrt(safe);
#if CRITERION == 5
    const float away = root - sqrt(fmax(counts, 0.0f));
    float value = 2.0f * fabs(away), by_expected = sign(away) / root;
#else
    const float half_way = 0.5f * sqrt(fmax(HUBER * HUBER + 4.0f * counts, 0.0f));
    const float low = fabs(half_way - 0.5f * HUBER), nearest = clamp(root, low, half_way + 0.5f * HUBER);
    const float up = root < low && counts > 0.0f ? -1.0f : 1.0f, near = fmax(nearest * nearest, FLOOR * FLOOR);
    /* less what does not depend on lambda: m - I log(m), m = max(I, 1) */
    const float about = fmax(counts, 1.0f), x = (near - about) / about;
    const float log_ratio = x < -0.5f ? log(near / about) : log1p(x);
    float value = 2.0f * (near - about - counts * log_ratio) + 4.0f * HUBER * up * (root - nearest);
    float by_expected = root == nearest ? 2.0f * (safe - counts) / safe : 2.0f * HUBER * up / root;
#endif
    const float2 more = skew(safe, table);
    *slope = by_expected + more.y;
    return value + more.x + *slope * fmin(expected - FLOOR, 0.0f);
}
#endif

/* What a pixel adds to f, and df/dlambda, from I, lambda and their difference. */
static inline floats pixel_value(const floats counts, const floats expected, const floats difference, floats *slope)
{
    const ints dark = MASK(expected < FLOOR);
#if CRITERION == 1
    const floats safe = select(expected, (floats)FLOOR, dark);
    *slope = select(difference, safe - counts, dark) / safe;
    const floats about = fmax(counts, (floats)1.0f);
    const floats low = select(difference, expected - about, MASK(counts < 1.0f));
    const floats x = select(low, safe - about, dark) / about;
    floats log_ratio = select(log1p(x), log(safe / about), MASK(x < -0.5f));
    log_ratio += select((floats)0.0f, expected / FLOOR - 1.0f, dark);
    return low - counts * log_ratio;
#else
    const floats low = clamp(expected, (floats)0.0f, (floats)FLOOR);
    const floats variance = select(expected, 0.5f * (FLOOR + low * low / FLOOR), dark);
    const floats by_variance = select((floats)1.0f, low / FLOOR, dark), inverse = 1.0f / sqrt(variance);
    const floats residual = -difference * inverse, by_expected = -inverse - 0.5f * residual / variance * by_variance;
#if CRITERION == 2
    *slope = 2.0f * residual * by_expected;
    return residual * residual;
#elif CRITERION == 3
    *slope = sign(residual) * by_expected;
    return fabs(residual);
#else
    const floats size = fabs(residual);
    *slope = 2.0f * clamp(residual, (floats)-HUBER, (floats)HUBER) * by_expected;
    return select(HUBER * (2.0f * size - HUBER), residual * residual, MASK(size < HUBER));
#endif
#endif
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void cbc_streak_sums(__global const float *amplitude,
                     __global const float *background,
                     __global const float *above,
                     __global const int *link,
                     __global const int2 *shared,
                     __global const int *start,
                     __global const int *reflection,
                     __global const float *b,
                     __global const float *q2,
                     const int streaks,
                     __global const float2 *table,
                     __global float *sums)
{
    __local float slot[3 * LOCAL_SIZE];
    const int streak = get_group_id(0), me = get_local_id(0), last = start[streak + 1];
    const float strength = q2[reflection[streak]], intercept = b[streak];
    floats weighted = 0.0f, weighted_rest = 0.0f, plain = 0.0f, plain_rest = 0.0f, third = 0.0f, third_rest = 0.0f;
    for (int k = start[streak] + me * LANES; k < last; k += LOCAL_SIZE * LANES) {
        const ints in = MASK(k + LANE < last), entry = INTS(link, k);
        const floats a = FLOATS(amplitude, k), dark = FLOATS(background, k), up = FLOATS(above, k);
        floats signal = strength * a + intercept;
        ints mine = in; /* whether it is this row that adds the pixel to f */
        if (any(in & MASK(entry >= 0))) {
            for (int i = 0; i < LANES && k + i < last; i++) {
                int e = ((const int *)&entry)[i];
                if (e < 0) continue;
                ((int *)&mine)[i] = shared[e].x == k + i ? -1 : 0;
                float total = 0.0f;
                for (int more = 1; more; e++) {
                    const int2 one = shared[e];
                    const int other = STREAK(one);
                    total += q2[reflection[other]] * amplitude[one.x] + b[other];
                    more = one.y >= 0;
                }
                ((float *)&signal)[i] = total;
            }
        }
        const floats counts = up + dark, expected = signal + dark;
#if CRITERION == 0
        const floats weight = select((floats)0.0f, counts / fmax(expected, (floats)FLOOR), in);
        const floats add = select((floats)0.0f, a, in);
#else
        floats slope = 0.0f;
#if CRITERION > 4
        floats value = 0.0f;
        for (int i = 0; i < LANES; i++) {
            const float one = ((const float *)&counts)[i], other = ((const float *)&expected)[i];
            ((float *)&value)[i] = robust_value(one, other, table, (float *)&slope + i);
        }
#else
        const floats value = pixel_value(counts, expected, signal - up, &slope);
#endif
        const floats add = select((floats)0.0f, value, mine);
        const floats weight = select((floats)0.0f, slope, in);
#endif
        ADD(weighted, weighted_rest, weight * select((floats)0.0f, a, in));
        ADD(plain, plain_rest, weight);
        ADD(third, third_rest, add);
    }
    float found[3] = {LANE_SUM(weighted), LANE_SUM(plain), LANE_SUM(third)};
    group_sums(found, 3, slot);
    if (me == 0)
        for (int m = 0; m < 3; m++) sums[m * streaks + streak] = found[m];
}

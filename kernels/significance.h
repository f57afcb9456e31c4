/* significance.h - the background of a pixel and the counts that make it significant.
 *
 * A ring's row of the table is (mean, phi, spread that does not come from counting, 1 if the frame holds
 * fractions of counts); NaN = no background.
 * The curve holds (x - mu) / (1 + sqrt(mu)), where x counts are k sigma above mu by Poisson's law, on a grid of
 * log2(mu). See docs/significance.md; the oracle is tests/oracles/significance.py.
 *
 * A ring's reach is two normalized counts: a pixel with s <= reach.x w is certainly not significant, one with s > reach.y w
 * certainly is.
 *
 * Defines   CURVE_FIRST, CURVE_PER_OCTAVE, CURVE_POINTS: the grid
 */
#ifndef SIGNIFICANCE_H
#define SIGNIFICANCE_H

/* Row of the table between ring centres: linear; an unknown neighbour is left out; unknown in an unknown ring. */
static inline float4 background_at(__global const float4 *table, const int rings, const float position)
{
    const float place = clamp(position, 0.0f, (float)(rings - 1));
    const int low = min((int)place, max(rings - 2, 0)), high = min(low + 1, rings - 1);
    const float part = place - low;
    float4 a = table[low], b = table[high];
    const float4 own = part < 0.5f ? a : b;
    if (isnan(own.x)) return own;
    if (isnan(a.x)) a = b;
    if (isnan(b.x)) b = a;
    return a + part * (b - a);
}

/* Variance, in counts^2, that does not come from counting. */
static inline float other_variance(const float4 ring, const float w, const float noise2)
{
    return ring.z * ring.z * w * w + noise2;
}

/* Counts that are k sigma above the background; a pixel with more is significant. */
static inline float significant_counts(const float4 ring, const float w, const float noise2, const float k,
                                __global const float *curve)
{
    const float expected = ring.x * w;
    const float mu = ring.y > 0.0f ? fmax(expected, 0.0f) / ring.y : 0.0f;
    const float place = clamp((log2(mu) - CURVE_FIRST) * CURVE_PER_OCTAVE, 0.0f, (float)(CURVE_POINTS - 1));
    const int low = min((int)place, CURVE_POINTS - 2);
    const float height = curve[low] + (place - low) * (curve[low + 1] - curve[low]);
    const float counting = height * (1.0f + sqrt(mu)) * ring.y;
    return expected + sqrt(counting * counting + k * k * other_variance(ring, w, noise2));
}

/* Normalized counts up to which no pixel of a ring is significant (.x), and above which all are (.y): the threshold of the
 * heaviest pixel over the lowest background and spread of the ring and its neighbours, and that of the lightest over
 * the highest. Both farther out by what float32 may be wrong by. NaN in an unknown ring. */
static inline float2 reach_of(__global const float4 *table, const int rings, const int ring, const float heaviest,
                              const float lightest, const float noise2, const float k, __global const float *curve)
{
    const float4 own = table[ring], a = table[max(ring - 1, 0)], b = table[min(ring + 1, rings - 1)];
    if (isnan(own.x)) return NAN;
    const float4 least = fmin(own, fmin(a, b)), most = fmax(own, fmax(a, b)); /* NaN is passed over */
    const float low = significant_counts(least, heaviest, noise2, k, curve) / heaviest;
    const float high = significant_counts(most, lightest, noise2, k, curve) / lightest;
    const float2 found = {least.x + 0.999f * (low - least.x), most.x + 1.001f * (high - most.x)};
    return found + (float2)(-1e-5f, 1e-5f) * fabs(found);
}

/* The ring that a pixel, which is not masked, belongs to. */
static inline int ring_at(const float position, const int rings)
{
    return clamp((int)(position + 0.5f), 0, rings - 1);
}

/* Whether counts are significant. Few pixels are so near the threshold that logarithm and roots are needed. */
static inline int significant(const float s, const float w, const float position, __global const float2 *reach,
                              __global const float4 *table, const int rings, const float noise2, const float k,
                              __global const float *curve)
{
    const float2 certain = reach[ring_at(position, rings)];
    if (!(s > certain.x * w)) return 0;
    return s > certain.y * w || s > significant_counts(background_at(table, rings, position), w, noise2, k, curve);
}

#endif

/* densify.cl - the background of a whole frame, as it is expected or with noise.
 *
 * What      every pixel becomes its expected counts, rounded, or counts drawn about them: Poisson counts whose mean is
 *           modulated so that the variance is that of the ring. Counts above the picking threshold are drawn again, and what then
 *           is above the lowest threshold that a new separation may find is lowered to that.
 * Launch    one work-item per LANES * STRIPS consecutive pixels, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           halves   [2 rings] for the inner and the outer half of each ring: mean at its centre, change of the mean per ring,
 *                              c of the excess variance c lambda, a of counts a w below all limits; NaN = no background
 *           table    [rings]   (mean, phi, spread that is not counting, fractions) of each ring
 *           lowest   [rings]   the same as a new separation finds them at least; last column 2: the ring gets no noise
 *           curve, k, noise2   of SNR_pick (significance.h)
 *           laws, knots        random.h
 *           marker             what a masked pixel becomes
 *           largest            largest count that may be written
 *           seed, number       seed of the noise, number of the frame
 *           pixels             number of pixels
 * Out       frame    [pixels]  PIXEL_T
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); CURVE_* (significance.h); NOISY: 0 expected counts, 1 with noise;
 *           OTHER: 0 where no ring has a spread that is not counting; LANES: 1 or a multiple of 32, pixels worked on side by side; STRIPS
 * Exact     noise depends on seed, frame number and pixel number alone
 * Limits    pixels < 2^32
 * Method    Poisson counts at low means as the data have them; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#include "pixel.h"
#include "random.h"
#include "significance.h"

#define TRIALS 16
#define COUNTERS (LANES == 1 ? 1 : LANES / 4)

#define LOWER(a, b) ((a) < (b) ? (a) : (b))
#define HIGHER(a, b) ((a) > (b) ? (a) : (b))

/* Counts of a pixel of this mean and excess variance. */
static inline float drawn(const float expected, const float excess, const float fractions, const uint bits,
                          __global const uint *laws, __global const float *knots)
{
#if PIXEL_KIND == 2
    if (fractions > 0.5f) return expected + sqrt(fmax(expected + excess, 0.0f)) * normal_number(bits, knots);
#endif
    const float most = HIGHER(expected, 0.0f), mean = modulated(most, HIGHER(excess, 0.0f), more_bits(bits));
    return mean <= POISSON_MOST ? (float)poisson_from_table(mean, bits, laws) : poisson_of_many(mean, bits, knots);
}

/* To the nearest whole number, an even one of two, without a call. */
static inline float nearest(const float x)
{
    return x < 4194304.0f ? (x + 12582912.0f) - 12582912.0f : x;
}

/* Counts as they will be read from the frame, dark subtracted, and the highest such below a limit. */
#if PIXEL_KIND == 2
#define AS_READ(counts, dark) (counts)
#define BELOW(limit, dark) (limit)
#else
#define AS_READ(counts, dark) (rint((counts) + (dark)) - (dark))
#define BELOW(limit, dark) (floor((limit) + (dark)) - (dark))
#endif

__kernel void densify(__global const float *position,
                      __global const float *weight,
                      __global const float *dark,
                      __global const float4 *halves,
                      __global const float4 *table,
                      const int rings,
                      __global const float4 *lowest,
                      __global const float *curve,
                      const float k,
                      const float noise2,
                      __global const uint *laws,
                      __global const float *knots,
                      const PIXEL_T marker,
                      const PIXEL_T largest,
                      const ulong seed,
                      const uint number,
                      const uint pixels,
                      __global PIXEL_T *frame)
{
    const uint begin = get_global_id(0) * (LANES * STRIPS);
    const uint end = min(pixels, begin + LANES * STRIPS);
    for (uint first = begin; first < end; first += LANES) {
        float place[LANES], w[LANES], expected[LANES], counts[LANES];
        uint half_ring[LANES];
        const int whole = first + LANES <= pixels;
        if (whole) {
            for (int i = 0; i < LANES; i++) place[i] = position[first + i];
            for (int i = 0; i < LANES; i++) w[i] = weight[first + i];
        } else {
            for (int i = 0; i < LANES; i++) {
                place[i] = position[min(first + i, pixels - 1)];
                w[i] = weight[min(first + i, pixels - 1)];
            }
        }
#if NOISY
        float excess[LANES], mean[LANES];
#endif
        for (int i = 0; i < LANES; i++) {
            const float twice = 2.0f * place[i] + 1.0f;
            const float inside = twice > 0.0f ? twice : 0.0f; /* masked: any ring */
            half_ring[i] = (int)LOWER(inside, 2 * rings - 1.0f);
        }
        float row[4][LANES] __attribute__((aligned(32)));
#if LANES == 1
        for (int i = 0; i < 4; i++) row[i][0] = ((__global const float *)(halves + half_ring[0]))[i];
#else
        for (int i = 0; i < LANES; i += 8) {
            /* Eight rows loaded whole and transposed. */
            const float8 a = (float8)(halves[half_ring[i]], halves[half_ring[i + 4]]);
            const float8 b = (float8)(halves[half_ring[i + 1]], halves[half_ring[i + 5]]);
            const float8 c = (float8)(halves[half_ring[i + 2]], halves[half_ring[i + 6]]);
            const float8 d = (float8)(halves[half_ring[i + 3]], halves[half_ring[i + 7]]);
            const float8 ab = (float8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5);
            const float8 cd = (float8)(c.s0, d.s0, c.s1, d.s1, c.s4, d.s4, c.s5, d.s5);
            *(float8 *)(row[0] + i) = (float8)(ab.s01, cd.s01, ab.s45, cd.s45);
            *(float8 *)(row[1] + i) = (float8)(ab.s23, cd.s23, ab.s67, cd.s67);
#if NOISY
            const float8 ef = (float8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7);
            const float8 gh = (float8)(c.s2, d.s2, c.s3, d.s3, c.s6, d.s6, c.s7, d.s7);
            *(float8 *)(row[2] + i) = (float8)(ef.s01, gh.s01, ef.s45, gh.s45);
            *(float8 *)(row[3] + i) = (float8)(ef.s23, gh.s23, ef.s67, gh.s67);
#endif
        }
#endif
        for (int i = 0; i < LANES; i++)
            expected[i] = (row[0][i] + (place[i] - (int)(half_ring[i] >> 1)) * row[1][i]) * w[i];
#if NOISY
        /* Bits: LANES / 4 counters side by side. */
        uint bits[LANES];
#if LANES == 1
        bits[0] = pixel_bits(first, number, 0, seed);
#else
        uint c0[COUNTERS], c1[COUNTERS], c2[COUNTERS], c3[COUNTERS];
        for (int j = 0; j < COUNTERS; j++) {
            ulong x = first / 4 + j, y = number, z = 0, t = 0;
            PHILOX(x, y, z, t, (uint)seed, (uint)(seed >> 32));
            c0[j] = x, c1[j] = y, c2[j] = z, c3[j] = t;
        }
        for (int i = 0; i < LANES; i += 32) {
            for (int j = 0; j < 8; j++) bits[i + j] = c0[i / 4 + j];
            for (int j = 0; j < 8; j++) bits[i + 8 + j] = c1[i / 4 + j];
            for (int j = 0; j < 8; j++) bits[i + 16 + j] = c2[i / 4 + j];
            for (int j = 0; j < 8; j++) bits[i + 24 + j] = c3[i / 4 + j];
        }
#endif
        /* The usual case for all, without branches: whole counts, a small modulation, a mean within the table. */
        int unusual = 0, high = 0;
        for (int i = 0; i < LANES; i++) {
#if OTHER
            const float other = table[half_ring[i] >> 1].z * w[i];
            excess[i] = row[2][i] * expected[i] + other * other;
#else
            excess[i] = row[2][i] * expected[i];
#endif
            const float most = HIGHER(expected[i], 0.0f), more = HIGHER(excess[i], 0.0f);
            const float one = slightly_modulated(most, more, more_bits(bits[i]));
            unusual |= (3.0f * more > most * most) | (one > POISSON_MOST);
            mean[i] = LOWER(one, POISSON_MOST);
        }
        for (int i = 0; i < LANES; i++) counts[i] = poisson_from_table(mean[i], bits[i], laws);
        for (int i = 0; i < LANES; i++) high |= counts[i] > row[3][i] * w[i];
#if PIXEL_KIND == 2
        for (int i = 0; i < LANES; i++) unusual |= table[half_ring[i] >> 1].w > 0.5f;
#endif
        if (unusual) {
            for (int i = 0; i < LANES; i++)
                counts[i] = drawn(expected[i], excess[i], table[half_ring[i] >> 1].w, bits[i], laws, knots);
        }
#if HAS_DARK
        for (int i = 0; i < LANES; i++) counts[i] = AS_READ(counts[i], dark[min(first + i, pixels - 1)]);
#endif
        if (unusual || HAS_DARK) {
            high = 0;
            for (int i = 0; i < LANES; i++) high |= counts[i] > row[3][i] * w[i];
        }
        if (high) {
            for (int i = 0; i < LANES; i++) {
                if (!(counts[i] > row[3][i] * w[i]) || place[i] != place[i]) continue;
                const float most = significant_counts(background_at(table, rings, place[i]), w[i], noise2, k, curve);
                const float least = significant_counts(background_at(lowest, rings, place[i]), w[i], noise2, k, curve);
                const float fractions = table[half_ring[i] >> 1].w;
                const float zero = HAS_DARK ? dark[first + i] : 0.0f;
                if (lowest[half_ring[i] >> 1].w > 1.5f) {
                    counts[i] = AS_READ(expected[i], zero);
                    continue;
                }
                for (int trial = 1; trial <= TRIALS && counts[i] > most; trial++) {
                    const uint again = pixel_bits(first + i, number, trial, seed);
                    counts[i] = AS_READ(drawn(expected[i], excess[i], fractions, again, laws, knots), zero);
                }
                if (counts[i] > most) counts[i] = AS_READ(expected[i], zero);
                if (counts[i] > least) counts[i] = BELOW(least, zero);
            }
        }
#else
        for (int i = 0; i < LANES; i++) counts[i] = expected[i];
#endif
#if HAS_DARK
        for (int i = 0; i < LANES; i++) counts[i] += dark[min(first + i, pixels - 1)];
#endif
        PIXEL_T value[LANES];
        for (int i = 0; i < LANES; i++) {
#if PIXEL_KIND == 2
            const PIXEL_T one = counts[i];
#else
            const float positive = HIGHER(counts[i], 0.0f);
#if NOISY && !HAS_DARK
            const float near = positive; /* whole already */
#else
            const float near = nearest(positive);
#endif
            const PIXEL_T one = near < (float)largest ? (PIXEL_T)near : largest;
#endif
            value[i] = expected[i] == expected[i] ? one : marker;
        }
        if (whole) {
            for (int i = 0; i < LANES; i++) frame[first + i] = value[i];
        } else {
            for (int i = 0; i < LANES && first + i < pixels; i++) frame[first + i] = value[i];
        }
    }
}

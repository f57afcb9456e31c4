/* densify.cl - the background of a whole frame, as it is expected or with noise.
 *
 * What      every pixel becomes its expected counts, rounded, or counts drawn about them: Poisson counts whose mean is
 *           modulated (log-normal) so that the variance is that of the ring. Counts above the picking threshold are drawn again.
 * Launch    one work-item per pixel, rounded up to whole work-groups
 * In        position [pixels]  place between ring centres, NaN = masked
 *           weight   [pixels]  normalization w
 *           dark     [pixels]  dark counts (HAS_DARK)
 *           table    [RINGS]   (mean, phi, spread that is not counting, fractions) of each ring
 *           curve, reach, k, noise2   of SNR_pick (significance.h)
 *           marker             what a masked pixel becomes
 *           largest            largest count that may be written
 *           noisy              0: expected counts, 1: with noise
 *           seed, number       seed of the noise, number of the frame
 *           pixels             number of pixels
 * Out       frame    [pixels]  PIXEL_T
 * Defines   PIXEL_T, PIXEL_KIND, HAS_DARK (pixel.h); RINGS, CURVE_* (significance.h)
 * Exact     noise depends on seed, frame number and pixel number alone
 * Limits    pixels < 2^32
 * Method    Poisson counts at low means as the data have them; docs/densify.md
 * Oracle    tests/oracles/densify.py
 */
#include "pixel.h"
#include "random.h"
#include "significance.h"

#define TRIALS 16

__kernel void densify(__global const float *position,
                      __global const float *weight,
                      __global const float *dark,
                      __global const float4 *table,
                      __global const float *curve,
                      __global const float *reach,
                      const float k,
                      const float noise2,
                      const PIXEL_T marker,
                      const PIXEL_T largest,
                      const int noisy,
                      const ulong seed,
                      const uint number,
                      const uint pixels,
                      __global PIXEL_T *frame)
{
    const uint pixel = get_global_id(0);
    if (pixel >= pixels) return;
    const float4 ring = background_at(table, position[pixel]);
    if (isnan(position[pixel]) || isnan(ring.x)) {
        frame[pixel] = marker;
        return;
    }
    const float w = weight[pixel], expected = ring.x * w;
    float counts = expected;
    if (noisy) {
        const float variance = ring.y * fmax(expected, 0.0f) + ring.z * ring.z * w * w, excess = variance - expected;
        float modulation = 0.0f; /* variance of the logarithm of the mean */
        if (excess > 1e-3f * expected) modulation = log1p(excess / fmax(expected * expected, 1e-12f));
        for (int trial = 0; trial <= TRIALS; trial++) {
            const uint4 bits = philox((uint4)(pixel, number, trial, 0), (uint2)((uint)seed, (uint)(seed >> 32)));
#if PIXEL_KIND == 2
            counts = ring.w > 0.5f ? expected + sqrt(variance) * normal_number(bits.z, bits.w)
                                   : poisson_number(expected, bits);
#else
            float mean = expected;
            if (modulation > 0.0f) mean *= exp(sqrt(modulation) * normal_number(bits.z, bits.w) - 0.5f * modulation);
            counts = poisson_number(mean, bits);
#endif
            if (!may_be_significant(counts, position[pixel], w, reach)) break;
            const float most = significant_counts(ring, w, noise2, k, curve);
            if (counts <= most) break;
            if (trial == TRIALS) counts = fmin(expected, most);
        }
    }
#if HAS_DARK
    counts += dark[pixel];
#endif
#if PIXEL_KIND == 2
    frame[pixel] = noisy && ring.w < 0.5f ? rint(counts) : counts;
#else
    counts = rint(counts);
    frame[pixel] = counts <= 0.0f ? 0 : counts >= (float)largest ? largest : (PIXEL_T)counts;
#endif
}

/* random.h - random numbers that depend on (seed, frame, pixel, draw) alone, so that every device draws the same.
 *
 * Philox 4x32-10, Salmon, Moraes, Dror & Shaw (2011), SC'11, doi 10.1145/2063384.2063405: constants and rounds from there.
 */
#ifndef RANDOM_H
#define RANDOM_H

static inline uint4 philox(uint4 counter, uint2 key)
{
    for (int round = 0; round < 10; round++) {
        const uint high0 = mul_hi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
        const uint high1 = mul_hi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
        counter = (uint4)(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

/* Uniform in (0, 1), 24 bits. */
static inline float uniform_number(const uint bits)
{
    return ((bits >> 8) + 0.5f) * 5.9604644775390625e-8f;
}

/* Standard normal (Box & Muller 1958). */
static inline float normal_number(const uint a, const uint b)
{
    return sqrt(-2.0f * log(uniform_number(a))) * cospi(2.0f * uniform_number(b));
}

/* Poisson of this mean: by inversion, and from 40 on from a normal number with the first Cornish-Fisher term. */
static inline float poisson_number(const float mean, const uint4 bits)
{
    if (!(mean > 0.0f)) return 0.0f;
    if (mean >= 40.0f) {
        const float z = normal_number(bits.x, bits.y);
        return fmax(0.0f, floor(mean + sqrt(mean) * z + (z * z - 1.0f) / 6.0f + 0.5f));
    }
    const float u = uniform_number(bits.x);
    float n = 0.0f, term = exp(-mean), below = term;
    while (u > below && n < 150.0f) {
        n += 1.0f;
        term *= mean / n;
        below += term;
    }
    return n;
}

#endif

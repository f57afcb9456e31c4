/* random.h - counts that depend on (seed, frame, pixel, draw) alone, so that every device draws the same.
 *
 * Random bits: Philox 4x32 with 7 rounds, Salmon, Moraes, Dror & Shaw (2011), SC'11, doi 10.1145/2063384.2063405 (constants
 * from there; 7 is the least number of rounds that passes BigCrush). One call serves four pixels, eight places apart:
 * pixel p takes word (p >> 3) & 3 of counter (p >> 5) * 8 + (p & 7), so that 32 neighbours are 8 calls side by side.
 *
 * Poisson numbers up to a mean of POISSON_MOST: a table of laws, each of 64 buckets of the same probability that hold two
 * counts and a threshold (alias method, Walker 1977, doi 10.1145/355744.355749). The grid of means is that of floats with
 * POISSON_BITS bits of mantissa, less 1/4; between two of them one of both laws is taken at random so that the mean is
 * right: the variance gains at most 0.1 % from 0.02 counts on. Beyond: a normal number with the first Cornish-Fisher term.
 * The tables are made by crystint/ops/poisson_tables.py.
 *
 * Nothing in the paths that most pixels take is a call: not every compiler inlines its library, and what calls is not vectorised.
 *
 * Defines   POISSON_MOST, POISSON_BITS, KNOTS; LANES for strip_bits
 */
#ifndef RANDOM_H
#define RANDOM_H

/* One round on a counter (c0, c1, c2, c3), each of 32 bits in 64, with key (k0, k1). */
#define PHILOX_ROUND(c0, c1, c2, c3, k0, k1)                                   \
    {                                                                          \
        const ulong first = 0xD2511F53ul * (c0), second = 0xCD9E8D57ul * (c2); \
        c0 = (second >> 32) ^ (c1) ^ (uint)(k0);                               \
        c1 = second & 0xFFFFFFFFul;                                            \
        c2 = (first >> 32) ^ (c3) ^ (uint)(k1);                                \
        c3 = first & 0xFFFFFFFFul;                                             \
    }

/* Seven rounds, written one after the other for compilers that work on several counters at once. */
#define KEY0 0x9E3779B9u
#define KEY1 0xBB67AE85u
#define PHILOX(c0, c1, c2, c3, k0, k1)                                       \
    {                                                                        \
        PHILOX_ROUND(c0, c1, c2, c3, (k0), (k1))                             \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 1 * KEY0, (k1) + 1 * KEY1)       \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 2 * KEY0, (k1) + 2 * KEY1)       \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 3 * KEY0, (k1) + 3 * KEY1)       \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 4 * KEY0, (k1) + 4 * KEY1)       \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 5 * KEY0, (k1) + 5 * KEY1)       \
        PHILOX_ROUND(c0, c1, c2, c3, (k0) + 6 * KEY0, (k1) + 6 * KEY1)       \
    }

/* The 32 bits of a pixel. */
static inline uint pixel_bits(const uint pixel, const uint number, const uint trial, const ulong seed)
{
    ulong c0 = (pixel >> 5) * 8 + (pixel & 7), c1 = number, c2 = trial, c3 = 0;
    PHILOX(c0, c1, c2, c3, (uint)seed, (uint)(seed >> 32));
    const uint word = (pixel >> 3) & 3;
    return (uint)(word == 0 ? c0 : word == 1 ? c1 : word == 2 ? c2 : c3);
}

#ifdef LANES
/* The bits of LANES pixels, 1 or a multiple of 32, from `first` on: LANES / 4 counters side by side. */
static inline void strip_bits(const uint first, const uint number, const ulong seed, uint *bits)
{
#if LANES == 1
    bits[0] = pixel_bits(first, number, 0, seed);
#else
    uint c0[LANES / 4], c1[LANES / 4], c2[LANES / 4], c3[LANES / 4];
    for (int j = 0; j < LANES / 4; j++) {
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
}
#endif

/* Other bits from the same ones (the finalizer of MurmurHash3, a bijection): independent of any of their parts. */
static inline uint more_bits(uint bits)
{
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6Bu;
    bits = (bits ^ (bits >> 13)) * 0xC2B2AE35u;
    return bits ^ (bits >> 16);
}

/* Square root to 0.2 %. */
static inline float rough_root(const float x)
{
    const float guess = as_float(0x5F3759DFu - (as_uint(x) >> 1));
    return x * guess * (1.5f - 0.5f * x * guess * guess);
}

/* Mean of the counts of one pixel: `expected` modulated so that the counts gain the variance `excess`, at most a third of the
 * square of `expected`: uniform within expected -+ sqrt(3 excess). */
static inline float slightly_modulated(const float expected, const float excess, const uint bits)
{
    const float part = (int)(bits & 0xFFFFu) * (2.0f / 65536.0f) - (65535.0f / 65536.0f);
    const float mean = expected + rough_root(3.0f * excess) * part;
    return mean > 0.0f ? mean : 0.0f;
}

/* The same for any excess: where it is more, a share of the pixels gets nothing and the others more. Without branches. */
static inline __attribute__((always_inline)) float modulated(const float expected, const float excess, const uint bits)
{
    const float square = expected * expected;
    const int wide = 3.0f * excess > square;
    const float share = wide ? 1.3333333f * square / (square + excess) : 1.0f, most = expected / share;
    const float mean = slightly_modulated(most, wide ? most * most * 0.33333333f : excess, bits);
    return wide && ((int)(bits >> 16) + 0.5f) * (1.0f / 65536.0f) >= share ? 0.0f : mean;
}

/* Poisson number of a mean from 0 to POISSON_MOST. */
static inline int poisson_from_table(const float mean, const uint bits, __global const uint *laws)
{
    const uint grid = as_uint(mean + 0.25f) - as_uint(0.25f);
    const uint part = grid & ((1u << (23 - POISSON_BITS)) - 1u), chance = (bits & 1023u) << (13 - POISSON_BITS);
    const uint row = (grid >> (23 - POISSON_BITS)) + (chance < part ? 1u : 0u);
    const uint law = laws[row * 64u + (bits >> 26)];
    return ((bits >> 10) & 0xFFFFu) < (law >> 16) ? law & 255u : (law >> 8) & 255u;
}

/* Standard normal number: linear between the quantiles at equal steps of probability, Rayleigh's tail beyond them. */
static inline float normal_number(const uint bits, __global const float *knots)
{
    const int place = bits / (4294967296u / KNOTS);
    const float part = ((bits & (4294967295u / KNOTS)) + 0.5f) / (4294967296.0f / KNOTS);
    if (place == 0) return -sqrt(knots[1] * knots[1] - 2.0f * log(part));
    if (place == KNOTS - 1) return sqrt(knots[1] * knots[1] - 2.0f * log(part));
    return knots[place] + part * (knots[place + 1] - knots[place]);
}

/* Poisson number of a mean above POISSON_MOST. */
static inline float poisson_of_many(const float mean, const uint bits, __global const float *knots)
{
    const float z = normal_number(bits, knots);
    return fmax(0.0f, floor(mean + sqrt(mean) * z + (z * z - 1.0f) / 6.0f + 0.5f));
}

#endif

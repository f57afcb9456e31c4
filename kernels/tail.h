/* tail.h - upper tail of Poisson's law for the clipping limit. */
#ifndef TAIL_H
#define TAIL_H

#define REACHED 0.02f

/* ln Gamma(x) for x >= 7, to 1e-6 (Stirling's series, Abramowitz & Stegun 6.1.41). */
static inline float log_gamma(const float x)
{
    return (x - 0.5f) * log(x) - x + 0.918938533f + (0.0833333333f - 0.00277777778f / (x * x)) / x;
}

/* Largest count c with  n P(N >= c | lambda) >= REACHED: what is clipped above it would have been reached by a fiftieth of
 * a pixel of n. Half a pixel would do to keep a ring from collapsing, but costs the mean 3 % at 0.03 counts.
 * The tail is summed from its far end, so that small probabilities keep their digits; it begins well above
 * the quantile that Cornish & Fisher's expansion gives. For lambda up to about 100. */
static inline float reached_by_chance(const float lambda, const float n)
{
    if (!(lambda > 0.0f)) return 0.0f;
    const float k2 = 2.0f * log(fmax(n / REACHED, 1.0f));
    const float log_lambda = log(lambda), root = sqrt(lambda);
    float j = ceil(lambda + (sqrt(k2) + 1.5f) * root + k2 / 6.0f + 6.0f);
    float log_term = j * log_lambda - lambda - log_gamma(j + 1.0f);
    while (log_term < -60.0f) { /* where a float would hold 0 */
        log_term += log(j) - log_lambda;
        j -= 1.0f;
    }
    float term = exp(log_term), tail = term;
    while (j > 0.0f && n * tail < REACHED) {
        term *= j / lambda;
        j -= 1.0f;
        tail += term;
    }
    return j;
}

#endif

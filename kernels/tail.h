/* tail.h - upper tail of Poisson's law for the clipping limit. */
#ifndef TAIL_H
#define TAIL_H

#define REACHED 0.02f

/* Largest count c with  n P(N >= c | lambda) >= REACHED: what is clipped above it would have been reached by a fiftieth of
 * a pixel of n. Half a pixel would do to keep a ring from collapsing, but costs the mean 3 % at 0.03 counts.
 * The tail is summed from its far end, so that small probabilities keep their digits. For lambda up to about 100. */
static inline float reached_by_chance(const float lambda, const float n)
{
    if (!(lambda > 0.0f)) return 0.0f;
    const float log_lambda = log(lambda);
    float j = ceil(lambda + 12.0f * sqrt(lambda) + 20.0f);
    float log_term = j * log_lambda - lambda - lgamma(j + 1.0f);
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

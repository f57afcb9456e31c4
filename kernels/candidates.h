/* candidates.h - the pixels of a ring that may be significant, one after the other, and a list of those that are.
 *
 * These are the tails of the ring (ring_statistics.cl); all of its pixels where a threshold lies within the core.
 *
 * Defines   LOCAL_SIZE; GROUP (ring_statistics.cl)
 */
#ifndef CANDIDATES_H
#define CANDIDATES_H

typedef struct {
    __global const int *order;
    __global const float *order_weight;
    __global const int *segment;
    __global const uint *tail;
    __global const float *above, *weight; /* of the tails: s - c w, and w */
    float least;                          /* s / w - c that a pixel must be above */
    int n;                                /* tails; -1: all pixels */
    int i, band, last, bands;             /* where we are, of how many bands */
} Candidates;

static inline Candidates candidates_of(const int ring, const int rings, const int bands, const int number,
                                       __global const int *order,
                                       __global const int *segment, __global const float *order_weight,
                                       __global const int *room, __global const uint *tail_pixel,
                                       __global const float *tail_above, __global const float *tail_weight,
                                       __global const int *tails, __global const float *cover,
                                       __global const float *sums, const float reach)
{
    const int row = number * rings + ring, me = get_local_id(0);
    const size_t mine = (size_t)number * room[rings] + room[ring] + me;
    Candidates all;
    all.order = order;
    all.order_weight = order_weight;
    all.segment = segment + ring / GROUP * bands * GROUP + ring % GROUP;
    all.tail = tail_pixel + mine;
    all.above = tail_above + mine;
    all.weight = tail_weight + mine;
    all.least = reach - sums[8 * row + 5];
    all.n = reach >= cover[row] ? tails[row * LOCAL_SIZE + me] : -1;
    all.band = 0;
    all.bands = bands;
    all.i = all.n < 0 ? all.segment[0] + me : 0;
    all.last = all.segment[1];
    return all;
}

/* Number of the next pixel, and its normalization; 0 = there is none left. */
static inline int next_candidate(Candidates *all, uint *pixel, float *w)
{
    if (all->n >= 0) {
        for (; all->i < all->n; all->i++) {
            const float heavy = all->weight[all->i * LOCAL_SIZE];
            if (all->above[all->i * LOCAL_SIZE] <= all->least * heavy) continue; /* NaN = saturated: that is one */
            *w = heavy;
            *pixel = all->tail[all->i++ * LOCAL_SIZE];
            return 1;
        }
        return 0;
    }
    for (;;) {
        while (all->i >= all->last) {
            if (all->band + 1 >= all->bands) return 0;
            all->band++;
            all->i = all->segment[all->band * GROUP] + get_local_id(0);
            all->last = all->segment[all->band * GROUP + 1];
        }
        const int place = all->i;
        all->i += LOCAL_SIZE;
        *w = all->order_weight[place];
        if (isnan(*w)) continue; /* padding */
        *pixel = all->order[place];
        return 1;
    }
}

#define BATCH (LOCAL_SIZE == 1 ? 32 : 1)

/* Candidates whose pixels are loaded together, so that one does not wait for the other. */
typedef struct {
    uint pixel[BATCH];
    float w[BATCH];
    PIXEL_T raw[BATCH];
    int n;
} Batch;

/* The next candidates; 0 = there is none left. */
static inline int next_batch(Batch *batch, Candidates *all, __global const PIXEL_T *frame)
{
    batch->n = 0;
    while (batch->n < BATCH && next_candidate(all, &batch->pixel[batch->n], &batch->w[batch->n])) batch->n++;
    for (int i = 0; i < batch->n; i++) batch->raw[i] = frame[batch->pixel[i]];
    return batch->n;
}

#define HELD (LOCAL_SIZE == 1 ? 64 : 4)

/* A list that all work-items write to; it has no order. */
typedef struct {
    __global uint *list;
    volatile __global uint *count;
    uint held[HELD];
    int n;
} Found;

static inline void write_found(Found *found)
{
    const uint at = atomic_add(found->count, (uint)found->n);
    for (int i = 0; i < found->n; i++) found->list[at + i] = found->held[i];
    found->n = 0;
}

static inline void add_found(Found *found, const uint pixel)
{
    found->held[found->n++] = pixel;
    if (found->n == HELD) write_found(found);
}

#endif

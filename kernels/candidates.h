/* candidates.h - the pixels of a ring that may be significant, one after the other, and a list of those that are.
 *
 * These are the tails of the ring (ring_statistics.cl); all of its pixels where a threshold lies within the core.
 *
 * Defines   LOCAL_SIZE; RINGS, GROUP, BANDS (ring_statistics.cl)
 */
#ifndef CANDIDATES_H
#define CANDIDATES_H

typedef struct {
    __global const int *order;
    __global const uint *tail; /* places in `order` */
    __global const int *segment;
    int n;                     /* tails; -1: all pixels */
    int i, band, last;         /* where we are */
} Candidates;

static inline Candidates candidates_of(const int ring, const int number, __global const int *order,
                                       __global const int *segment, __global const int *room,
                                       __global const uint *tail_place, __global const int *tails,
                                       __global const float *cover, __global const float *reach)
{
    const int row = number * RINGS + ring, me = get_local_id(0);
    Candidates all;
    all.order = order;
    all.segment = segment + ring / GROUP * BANDS * GROUP + ring % GROUP;
    all.tail = tail_place + (size_t)number * room[RINGS] + room[ring] + me;
    all.n = reach[row] >= cover[row] ? tails[row * LOCAL_SIZE + me] : -1;
    all.band = 0;
    all.i = all.n < 0 ? all.segment[0] + me : 0;
    all.last = all.segment[1];
    return all;
}

/* The place of the next one in `order`; -1 = there is none left. */
static inline int next_candidate(Candidates *all)
{
    if (all->n >= 0) {
        if (all->i >= all->n) return -1;
        return all->tail[all->i++ * LOCAL_SIZE];
    }
    while (all->i >= all->last) {
        if (++all->band == BANDS) return -1;
        all->i = all->segment[all->band * GROUP] + get_local_id(0);
        all->last = all->segment[all->band * GROUP + 1];
    }
    const int place = all->i;
    all->i += LOCAL_SIZE;
    return place;
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

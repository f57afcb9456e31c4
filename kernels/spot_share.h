/* spot_share.h - how many maxima, members and spots a frame has, and which of them a work-group works on.
 *
 * Defines   LOCAL_SIZE
 */
#ifndef SPOT_SHARE_H
#define SPOT_SHARE_H

#include "group_barrier.h"

#define STATE 4 /* numbers of a frame: */
#define MAXIMA 0
#define EXTRAS 1 /* pixels of flat tops */
#define MEMBERS 2
#define SPOTS 3

/* What the items of a group share; an item that is alone has it for itself. */
#if LOCAL_SIZE == 1
#define SHARED
#define SET_BITS(word, bits) ((word) |= (bits))
#else
#define SHARED __local
#define SET_BITS(word, bits) atomic_or(&(word), bits)
#endif

/* On a CPU cache lines are touched (pixel.h) so many maxima or spots before their turn. */
#define AHEAD 4

/* From .x to before .y: the part of n things that this group works on. */
static inline int2 share_of(const int n)
{
    const int each = (n + (int)get_num_groups(0) - 1) / (int)get_num_groups(0);
    const int first = min((int)get_group_id(0) * each, n);
    return (int2)(first, min(first + each, n));
}

#endif

/* best_of_group.h - the best of what the work-items of a group found.
 *
 * Defines   LOCAL_SIZE, a power of two
 */
#ifndef BEST_OF_GROUP_H
#define BEST_OF_GROUP_H

#include "group_barrier.h"

/* The first work-item gets the highest score and its place, the lowest of equal ones. `slot` and `places` hold LOCAL_SIZE numbers. */
void best_of_group(float *score, int *place, __local float *slot, __local int *places)
{
    const int me = get_local_id(0);
    slot[me] = *score;
    places[me] = *place;
    for (int size = LOCAL_SIZE / 2; size > 0; size >>= 1) {
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        if (me < size && (slot[me + size] > slot[me] || (slot[me + size] == slot[me] && places[me + size] < places[me])))
            slot[me] = slot[me + size], places[me] = places[me + size];
    }
    *score = slot[me];
    *place = places[me];
}

#endif

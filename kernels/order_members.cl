/* order_members.cl - the members of the spots of a frame in their order.
 *
 * What      the members of a spot are its maxima (those that end at the same one by way of their parents) and the pixels of their
 *           flat tops. They are sorted by pixel number, and listed spot by spot; spots are sorted by their head, the highest maximum
 * Launch    one work-group of LOCAL_SIZE per frame
 * In        maxima [frames][pixels], parent, extra, owner, capacity, state: of merge_maxima.cl
 *           height, width            of a frame
 * Out       member [frames][capacity]    pixel numbers, ascending
 *           spot   [frames][capacity]    the spot of each, -1 where the same pixel is a member of the same spot already
 *           row    [frames][height + 1]  first member of each row of the frame
 *           list   [frames][capacity]    members, those of a spot together, ascending
 *           start  [frames][capacity + 1]  those of spot s: list[start[s]] .. list[start[s + 1] - 1]
 *           head   [capacity][frames]    pixel number of the highest maximum of each spot
 *           state                    [MEMBERS] and [SPOTS] set (spot_share.h): none where there is no capacity for the members
 *           work   [frames][4][capacity + 1]  of no use afterwards
 * Defines   LOCAL_SIZE
 * Exact     whole numbers
 * Limits    members < 2^31
 * Method    counting of rows, which are sorted by gaps (D. L. Shell (1959), Commun. ACM 2(7), 30)
 * Oracle    tests/oracles/peaks.py
 */
#include "spot_share.h"

#if LOCAL_SIZE == 1
#define ADD_ONE(place) ((place)++)
#define LOWER(place, value) ((place) = min(place, value))
#else
#define ADD_ONE(place) atomic_inc(&(place))
#define LOWER(place, value) atomic_min(&(place), value)
#endif
#define EACH(i, n) for (int i = get_local_id(0); i < (n); i += LOCAL_SIZE)

/* Each of n values becomes the sum of those up to it. */
void add_up(__global int *values, const int n, __local int *slot)
{
    const int me = get_local_id(0), each = (n + LOCAL_SIZE - 1) / LOCAL_SIZE;
    const int first = min(me * each, n), last = min(first + each, n);
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE | CLK_LOCAL_MEM_FENCE);
    int sum = 0;
    for (int i = first; i < last; i++) values[i] = sum += values[i];
#if LOCAL_SIZE > 1
    slot[me] = sum;
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    int before = 0;
    for (int i = 0; i < me; i++) before += slot[i];
    for (int i = first; i < last; i++) values[i] += before;
#endif
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE | CLK_LOCAL_MEM_FENCE);
}

/* Sort the members of a row by pixel number; where they come from goes with them. */
static inline void sort_row(__global uint *member, __global int *order, const int n)
{
    for (int gap = n / 2; gap > 0; gap /= 2)
        for (int i = gap; i < n; i++) {
            const uint pixel = member[i];
            const int from = order[i];
            int j = i;
            for (; j >= gap && member[j - gap] > pixel; j -= gap) {
                member[j] = member[j - gap];
                order[j] = order[j - gap];
            }
            member[j] = pixel;
            order[j] = from;
        }
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void order_members(__global const uint *maxima,
                   __global const uint *parent,
                   __global const uint *extra,
                   __global const int *owner,
                   const int capacity,
                   const int height,
                   const int width,
                   __global uint *member,
                   __global int *spot,
                   __global int *row,
                   __global int *list,
                   __global int *start,
                   __global uint *head,
                   __global uint *state,
                   __global int *work)
{
    const int number = get_group_id(0), frames = get_num_groups(0);
    const size_t first_place = (size_t)number * capacity;
    maxima += (size_t)number * height * width;
    parent += first_place, extra += first_place, owner += first_place;
    member += first_place, spot += first_place, list += first_place;
    row += number * (height + 1);
    start += first_place + number;
    state += STATE * number;
    __global int *up = work + 4 * (first_place + number), *order = up + capacity + 1, *spots = order + capacity + 1;
    __global int *first = spots + capacity + 1;
    __local int slot[LOCAL_SIZE];
    const uint wanted = state[MAXIMA] + state[EXTRAS];
    const int n = state[MAXIMA], members = state[MAXIMA] > (uint)capacity || wanted > (uint)capacity ? 0 : (int)wanted;

    /* order: maxima (numbers from 0) and pixels of flat tops (from n) by pixel number */
    EACH(i, height + 1) row[i] = 0;
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    EACH(i, members) first[i] = ADD_ONE(row[1 + (i < n ? maxima[i] : extra[i - n]) / width]);
    add_up(row, height + 1, slot);
    EACH(i, members)
    {
        const uint pixel = i < n ? maxima[i] : extra[i - n];
        const int place = row[pixel / width] + first[i];
        order[place] = i;
        member[place] = pixel;
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    EACH(r, height) sort_row(member + row[r], order + row[r], row[r + 1] - row[r]);
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);

    /* up: the maximum that each maximum belongs to, or itself */
    EACH(i, members == 0 ? 0 : n)
    {
        const uint pixel = parent[i];
        up[i] = i;
        if (pixel == maxima[i]) continue;
        for (int o = row[pixel / width]; o < row[pixel / width + 1]; o++)
            if (order[o] < n && member[o] == pixel) up[i] = order[o];
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);

    /* spots: of each maximum that is a head, counted in the order of members */
    EACH(t, members + 1) start[t] = t > 0 && order[t - 1] < n && up[order[t - 1]] == order[t - 1];
    add_up(start, members + 1, slot);
    const int all = start[members];
    EACH(t, members) if (order[t] < n && up[order[t]] == order[t])
    {
        spots[order[t]] = start[t];
        head[start[t] * frames + number] = member[t];
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    EACH(t, members)
    {
        int top = order[t] < n ? order[t] : owner[order[t] - n];
        while (up[top] != top) top = up[top];
        first[t] = spots[top];
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    EACH(t, members)
    {
        int again = 0;
        for (int o = t - 1; o >= 0 && member[o] == member[t]; o--) again |= first[o] == first[t];
        spot[t] = again ? -1 : first[t];
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);

    /* list: members spot by spot, from the first one on */
    EACH(s, all + 1)
    {
        start[s] = 0;
        first[s] = members;
    }
    GROUP_BARRIER(CLK_GLOBAL_MEM_FENCE);
    EACH(t, members) if (spot[t] >= 0)
    {
        ADD_ONE(start[1 + spot[t]]);
        LOWER(first[spot[t]], t);
    }
    add_up(start, all + 1, slot);
    EACH(s, all)
    for (int t = first[s], place = start[s]; place < start[s + 1]; t++)
        if (spot[t] == s) list[place++] = t;
    if (get_local_id(0) == 0) {
        state[MEMBERS] = members;
        state[SPOTS] = all;
    }
}

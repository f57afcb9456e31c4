/* group_barrier.h - the work-items of a group wait for one another.
 *
 * A group of one work-item has nobody to wait for, and its kernels have no barrier then: PoCL builds a kernel in pieces between
 * its barriers, which takes long, and where a loop with one is left half-way its version 3.0 aborts on some processors ("could
 * not find a dominating alternative variable").
 *
 * Defines   LOCAL_SIZE
 */
#ifndef GROUP_BARRIER_H
#define GROUP_BARRIER_H

#if LOCAL_SIZE == 1
#define GROUP_BARRIER(memory) ((void)0)
#else
#define GROUP_BARRIER(memory) barrier(memory)
#endif

#endif

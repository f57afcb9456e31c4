/* list_unusable.cl - pixels that are not masked and hold no measurement in this frame.
 *
 * What      reads the frame once, in blocks of consecutive pixels; each block lists its own pixels in order
 * Launch    one work-group of LOCAL_SIZE per BLOCK pixels
 * In        frame    [frames][pixels]  raw counts, PIXEL_T
 *           masked   [pixels / STRIP]  a bit for each pixel, set where it is masked
 *           pixels              of a frame
 *           number              of the frame
 * Out       list     [blocks * BLOCK]  pixel numbers; block b starts at b * BLOCK
 *           length   [blocks]          how many
 * Defines   PIXEL_T, PIXEL_KIND (pixel.h); BLOCK, a multiple of 16; LOCAL_SIZE
 * Exact     lists are complete, ascending and the same on every run
 * Limits    pixels < 2^32
 * Method    docs/background.md
 * Oracle    tests/oracles/significance.py
 */
#include "pixel.h"
#include "select.h"

#define STRIP 16

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void list_unusable(__global const PIXEL_T *frame,
                   __global const ushort *masked,
                   const uint pixels,
                   const uint number,
                   __global uint *list,
                   __global uint *length)
{
    const uint block = get_group_id(0), first = block * BLOCK, last = min(pixels, first + BLOCK);
    uint n = 0;
    frame += (size_t)number * pixels;
#if LOCAL_SIZE == 1
    for (uint strip = first; strip < last; strip += STRIP) {
        const uint end = min(last, strip + STRIP);
        int some = end < strip + STRIP;
        if (!some)
            for (int i = 0; i < STRIP; i++) some |= !usable(frame[strip + i]);
        if (!some) continue;
        const uint hidden = masked[strip / STRIP];
        for (uint pixel = strip; pixel < end; pixel++)
            if (!usable(frame[pixel]) && !(hidden >> (pixel - strip) & 1)) list[first + n++] = pixel;
    }
#else
    __local uint scan[LOCAL_SIZE];
    for (uint strip = first; strip < last; strip += LOCAL_SIZE) {
        const uint pixel = strip + get_local_id(0);
        const int lost = pixel < last && !usable(frame[pixel]) && !(masked[pixel / STRIP] >> pixel % STRIP & 1);
        n = append(lost, pixel, list + first, n, scan);
    }
#endif
    if (get_local_id(0) == 0) length[block] = n;
}

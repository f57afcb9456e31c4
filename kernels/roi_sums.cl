/* roi_sums.cl - what the pixels of regions of interest hold: sums, squares, the largest, and their centre.
 *
 * What      a region is a list of strips, 16 consecutive pixels with a bit for each that belongs to it and is not masked.
 *           All regions of a frame are read in one launch, in chunks of strips; the host adds up the chunks of a region
 * Launch    one work-item per chunk, in groups of LOCAL_SIZE; for each frame (2nd dimension)
 * In        frame      [frames][pixels]  raw counts, PIXEL_T
 *           strip      [strips]       first pixel of each strip, all in one row of the frame as far as they have bits
 *           bits       [strips]       bit i: pixel i of the strip
 *           chunk      [chunks + 1]   chunk c has the strips chunk[c] .. chunk[c + 1] - 1, all of one region
 *           saturation                largest valid value
 *           chunks, pixels, width     of the frame
 * Out       partial    [frames][chunks][9]  of the pixels that hold a measurement: how many, those above saturation, sum, largest,
 *                                     sum of squares in two parts, low + (high << SHIFT); sum of counts above zero, and that
 *                                     times the fast and the slow coordinate of the pixel
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE (pixel.h), of whole numbers; LOCAL_SIZE
 * Exact     whole numbers: the same on every device
 * Limits    at most 256 strips in a chunk; rows and columns < 2^16
 * Method    docs/regions.md
 * Oracle    tests/oracles/rois.py
 */
#include "pixel.h"

#define STRIP 16
#define COLUMNS 9

/* Unsigned counts are never below zero. */
#if PIXEL_KIND == 0
#define ABOVE_ZERO(counts, other) (counts)
#else
#define ABOVE_ZERO(counts, other) ((counts) > 0 ? (counts) : (other))
#endif
#define AHEAD 24 /* strips whose cache line is asked for before it is needed */

/* Lanes that hold the sums of 256 strips. */
#if PIXEL_WIDE
typedef long count_t;
typedef ulong square_t;
#define SHIFT 32
#define LOW 0xfffffffful
#else
typedef int count_t;
typedef uint square_t;
#define SHIFT 16
#define LOW 0xffffu
#endif

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void roi_sums(__global const PIXEL_T *frame,
              __global const uint *strip,
              __global const ushort *bits,
              __global const uint *chunk,
              const PIXEL_T saturation,
              const uint chunks,
              const uint pixels,
              const uint width,
              __global long *partial)
{
    const uint c = get_global_id(0);
    if (c >= chunks) return;
    frame += get_global_id(1) * (size_t)pixels;
    partial += get_global_id(1) * (size_t)chunks * COLUMNS;
    int number[STRIP], over[STRIP];
    count_t sum[STRIP], above[STRIP], largest[STRIP];
    square_t low[STRIP], high[STRIP];
    for (int i = 0; i < STRIP; i++) {
        number[i] = over[i] = 0;
        sum[i] = above[i] = 0;
        low[i] = high[i] = 0;
        largest[i] = (count_t)((square_t)1 << (8 * sizeof(count_t) - 1));
    }
    long across = 0, along = 0;
    const uint last = chunk[c + 1];
    for (uint k = chunk[c]; k < last; k++) {
        TOUCH_LINE(PIXEL_T, frame, strip[min(k + AHEAD, last - 1)]);
        const uint first = strip[k], set = bits[k], row = first / width, column = first - row * width;
        PIXEL_T raw[STRIP];
        if (first + STRIP <= pixels) {
            for (int i = 0; i < STRIP; i++) raw[i] = frame[first + i];
        } else {
            for (int i = 0; i < STRIP; i++) raw[i] = frame[min(first + i, pixels - 1)];
        }
        count_t positive[STRIP];
        for (int i = 0; i < STRIP; i++) {
            const int good = (set >> i & 1) & usable(raw[i]);
            const count_t value = raw[i], counts = good ? value : 0;
            const square_t size = ABOVE_ZERO(counts, -counts), square = size * size;
            number[i] += good;
            over[i] += good & (raw[i] > saturation);
            sum[i] += counts;
            low[i] += square & LOW;
            high[i] += square >> SHIFT;
            largest[i] = good && value > largest[i] ? value : largest[i];
            positive[i] = ABOVE_ZERO(counts, 0);
            above[i] += positive[i];
        }
        long here = 0;
        for (int i = 0; i < STRIP; i++) here += positive[i];
        across += here * row;
        along += here * column;
    }
    long of[COLUMNS] = {0, 0, 0, LONG_MIN, 0, 0, 0, along, across};
    for (int i = 0; i < STRIP; i++) {
        of[0] += number[i];
        of[1] += over[i];
        of[2] += sum[i];
        of[3] = number[i] && largest[i] > of[3] ? (long)largest[i] : of[3];
        of[4] += (long)low[i];
        of[5] += (long)high[i];
        of[6] += above[i];
        of[7] += above[i] * (long)i;
    }
    for (int i = 0; i < COLUMNS; i++) partial[(size_t)COLUMNS * c + i] = of[i];
}

/* polar_frame.cl - one frame as floats within a border of NaN, ready to be looked up.
 *
 * What      image = raw * scale; NaN where masked, unusable or saturated. The border, one pixel on each side, is not written
 * Launch    one work-item per pixel of a row, rounded up to whole work-groups of LOCAL_SIZE; second dimension: rows
 * In        frame [slow][fast]   raw counts, PIXEL_T
 *           scale [slow][fast]   1 / normalization, NaN = masked (HAS_SCALE)
 *           fast                 pixels of a row
 *           saturation           largest valid raw value
 * Out       image [slow + 2][fast + 2]  float
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE, HAS_DARK = 0 (pixel.h); HAS_SCALE = 0 | 1; LOCAL_SIZE
 * Exact     counts below 2^24; above, and scaled, to a float's rounding
 * Limits    (slow + 2) (fast + 2) < 2^31
 * Method    a border that reads as "no data" spares every later look-up a comparison
 * Oracle    tests/oracles/correlate_polar.py
 */
#include "pixel.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void polar_frame(__global const PIXEL_T *frame,
                 __global const float *scale,
                 const int fast,
                 const PIXEL_T saturation,
                 __global float *image)
{
    const int column = get_global_id(0), row = get_global_id(1);
    if (column >= fast) return;
    const int pixel = row * fast + column;
    const PIXEL_T raw = frame[pixel];
    float value = usable(raw) && raw <= saturation ? (float)raw : NAN;
#if HAS_SCALE
    value *= scale[pixel];
#endif
    image[(row + 1) * (fast + 2) + column + 1] = value;
}

/* polar_nearest.cl - a polar image of the pixels that hold its points.
 *
 * Launch    one work-item per cell, rounded up to whole work-groups of LOCAL_SIZE
 * In        image [pixels]     a frame with a border, NaN = no data (polar_frame.cl)
 *           place [cells]      the pixel of each cell; 0, in the border, where there is none
 *           cells              number of them
 * Out       values [cells]     float, NaN = no data
 * Defines   LOCAL_SIZE
 * Exact     copies
 * Limits    cells < 2^31
 * Method    nearest pixel; halves go to the lower one, as in LOKI's InterpSimple (crystint/correlate/polar_table.py)
 * Oracle    tests/oracles/correlate_polar.py
 */
__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void polar_nearest(__global const float *image,
                   __global const uint *place,
                   const uint cells,
                   __global float *values)
{
    const uint cell = get_global_id(0);
    if (cell < cells) values[cell] = image[place[cell]];
}

/* polar_area.cl - a polar image of the mean over the area of each cell.
 *
 * What      the mean of the pixels under a cell that hold data, weighted by the areas that they share with it
 * Launch    one work-item per cell, rounded up to whole work-groups of LOCAL_SIZE
 * In        image [pixels]     a frame with a border, NaN = no data (polar_frame.cl)
 *           start [cells + 1]  cell c has the entries start[c] .. start[c + 1] - 1
 *           place [entries]    a pixel under the cell
 *           area  [entries]    the area that the two share, px^2 (polar_overlap.cl)
 *           whole [rows]       1 / area of a cell of each row, 1/px^2; of every cell (WHOLE_ROW = 1); NaN = nowhere
 *           cells              number of them
 * Out       values [cells]     float, NaN = no data
 *           weights [cells]    the share of the cell's area that holds data, 0 to 1
 * Defines   LOCAL_SIZE; WHOLE_ROW, cells that share an element of `whole`
 * Exact     to the rounding of a float sum
 * Limits    entries < 2^32
 * Method    pixel splitting as a sparse matrix: Kieffer & Karkoulis (2013), J. Phys. Conf. Ser. 425, 202012
 * Oracle    tests/oracles/correlate_polar.py
 */
__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void polar_area(__global const float *image,
                __global const uint *start,
                __global const uint *place,
                __global const float *area,
                __global const float *whole,
                const uint cells,
                __global float *values,
                __global float *weights)
{
    const uint cell = get_global_id(0);
    if (cell >= cells) return;
    const uint last = start[cell + 1];
    float sum = 0.0f, total = 0.0f;
    for (uint k = start[cell]; k < last; k++) {
        const float value = image[place[k]], a = area[k];
        const int good = !isnan(value);
        sum += good ? a * value : 0.0f;
        total += good ? a : 0.0f;
    }
    values[cell] = total > 0.0f ? sum / total : NAN;
    weights[cell] = total > 0.0f ? fmin(total * whole[cell / WHOLE_ROW], 1.0f) : 0.0f; /* NaN: a cell nowhere */
}

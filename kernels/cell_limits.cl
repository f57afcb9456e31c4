/* cell_limits.cl - the counts up to which no pixel of a cell is significant, and from which on all are.
 *
 * What      what ring_reach.cl says of normalized counts, for the lightest and the heaviest pixel of each cell; and the least of it over
 *           1, 2, 4, ... rings that follow one another, so that two of these numbers tell that of any rings from one to another
 * Launch    one work-group of one work-item
 * In        reach       [rings]      of ring_reach.cl
 *           first_cell  [rings + 1]  the cells of ring r: first_cell[r] .. first_cell[r + 1] - 1
 *           cell_bounds [cells]      least and largest normalization in the cell
 *           cells, rings             numbers of them
 *           saturation               largest valid raw value: pixels above it are looked at, whatever the limit
 * Out       limit       [cells + 1]  (nothing is significant up to .x, everything from .y on); without a background, and for masked
 *                                    pixels, (the saturation value, 65535)
 *           least [levels][rings]    level l, ring r: least of reach[r].x .. reach[r + 2^l - 1].x; NaN without a background
 * Defines   PIXEL_T
 * Exact     bounds, at most 65534 and 65535: larger ones are left to the test of the pixel
 * Limits    65535 cells
 * Method    docs/significance.md
 * Oracle    tests/oracles/significance.py
 */
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void cell_limits(__global const float2 *reach,
                 __global const int *first_cell,
                 __global const float2 *cell_bounds,
                 const int cells,
                 const int rings,
                 const PIXEL_T saturation,
                 __global ushort2 *limit,
                 __global float *least)
{
    const float most = fmin((float)saturation, 65534.0f);
    const ushort2 nothing = {(ushort)most, 65535};
    for (int r = 0; r < rings; r++) {
        const float2 certain = reach[r];
        least[r] = certain.x; /* NaN is passed over */
        for (int c = first_cell[r]; c < first_cell[r + 1]; c++) {
            const float none = fmin(certain.x * cell_bounds[c].x, most), every = certain.y * cell_bounds[c].y;
            const ushort2 some = {(ushort)fmax(none, 0.0f), every < 65534.0f ? (ushort)fmax(every, 0.0f) + 1 : 65535};
            limit[c] = isnan(certain.x) ? nothing : some;
        }
    }
    limit[cells] = nothing;
    for (int step = 1; 2 * step <= rings; step *= 2) {
        __global const float *below = least;
        least += rings;
        for (int r = 0; r + 2 * step <= rings; r++) least[r] = fmin(below[r], below[r + step]);
    }
}

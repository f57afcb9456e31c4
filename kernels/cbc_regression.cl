/* cbc_regression.cl - chi on the nodes of each frame's grid, by kernel regression of the rows around.
 *
 * What      chi(k) = sum of n K / sum of d K, K = exp(-(dx^2 + dy^2) / 2 h^2), 0 where |dx| or |dy| > 4 h; 0 for values
 *           below; NaN where the sum of d K is 0
 * Launch    one work-group of LOCAL_SIZE per node, frames as the second dimension
 * In        ux, uy      [rows + 16]     coordinates, in 2^-30 of the width of the grid; rows sorted by frame and cell
 *           numerator, denominator      n and d of cbc_shares.cl, in the same order
 *           cell_start  [frames (ny - 1) (nx - 1) + 1]   first row of each cell
 *           nodes_x [nx], nodes_y [ny]  as ux, uy
 *           cells_x [nx], cells_y [ny]  first and last cell within reach of a node
 *           nx, ny
 *           step_x, step_y              2^-30 of the width in bandwidths
 *           reach_x, reach_y            4 h as ux, uy
 * Out       chi         [frames][ny][nx]
 * Defines   LOCAL_SIZE, a power of two; LANES = 1 | 16, one of the two is 1
 * Exact     whole differences, then float with rounding errors carried along: 2e-6 of the sum of |n| K; always in the same
 *           order, for a row of cells is a run of rows, and each node gathers its own runs
 * Limits    rows < 2^31; h above 1e-4 of the grid's width; a row just at 4 h may be in or out, as rounding has it
 * Method    crystint/cbc/scaling/regression.py
 * Oracle    tests/oracles/cbc_scaling.py
 */
#include "cbc_rows.h"
#include "reduce.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void cbc_regression(__global const int *ux,
                    __global const int *uy,
                    __global const float *numerator,
                    __global const float *denominator,
                    __global const int *cell_start,
                    __global const int *nodes_x,
                    __global const int *nodes_y,
                    __global const int2 *cells_x,
                    __global const int2 *cells_y,
                    const int nx,
                    const int ny,
                    const float step_x,
                    const float step_y,
                    const int reach_x,
                    const int reach_y,
                    __global float *chi)
{
    __local float slot[2 * LOCAL_SIZE];
    const int node = get_group_id(0), frame = get_global_id(1), me = get_local_id(0);
    const int column = node % nx, row = node / nx;
    const int at_x = nodes_x[column], at_y = nodes_y[row];
    const int2 across = cells_x[column], along = cells_y[row];
    floats above = 0.0f, above_rest = 0.0f, below = 0.0f, below_rest = 0.0f;
    for (int line = along.x; line <= along.y; line++) {
        __global const int *cell = cell_start + (frame * (ny - 1) + line) * (nx - 1);
        const int last = cell[across.y + 1];
        for (int k = cell[across.x] + me * LANES; k < last; k += LOCAL_SIZE * LANES) {
            const ints dx = INTS(ux, k) - at_x, dy = INTS(uy, k) - at_y;
            const ints near = MASK(k + LANE < last) & MASK(dx <= reach_x) & MASK(dx >= -reach_x) & MASK(dy <= reach_y) &
                              MASK(dy >= -reach_y);
            if (!any(near)) continue;
            const floats x = TO_FLOATS(dx) * step_x, y = TO_FLOATS(dy) * step_y;
            const floats weight = exp(-0.5f * (x * x + y * y));
            ADD(above, above_rest, select((floats)0.0f, weight * FLOATS(numerator, k), near));
            ADD(below, below_rest, select((floats)0.0f, weight * FLOATS(denominator, k), near));
        }
    }
    float sums[2] = {LANE_SUM(above), LANE_SUM(below)};
    group_sums(sums, 2, slot);
    if (me == 0) chi[frame * ny * nx + node] = sums[1] > 0.0f ? fmax(sums[0] / sums[1], 0.0f) : NAN;
}

/* cbc_interpolate.cl - the projection map chi at the rows of every convergent-beam streak.
 *
 * What      chi bilinear between nodes, in the map of the streak's frame. Empty nodes take no part, the weights of the
 *           others are scaled up; where all are empty there is no chi. Beyond the grid, the value of its edge.
 * Launch    one work-group of LOCAL_SIZE per streak
 * In        chi     [frames][ny][nx]   NaN = empty node
 *           nodes_x [nx], nodes_y [ny] ascending, in 2^-30 of the width of the grid, as ux, uy
 *           first_x [257], first_y     node below the coordinate 2^22 i, at most n - 2
 *           ux, uy  [rows]             coordinates, rows sorted by frame and cell of the grid
 *           rank    [rows + 16]        where a row is in that order
 *           start   [streaks + 1]      streak s has the rows start[s] .. start[s + 1] - 1
 *           frame   [streaks]
 *           profile [rows + 16]        f^2
 *           nx, ny
 * Out       values  [rows]             chi f^2, 0 where there is no chi; PLAIN: chi, NaN where there is none
 * Defines   LOCAL_SIZE; PLAIN = 0 | 1
 * Exact     float: 5e-7 relative; chi itself at the nodes
 * Limits    rows < 2^31; frames nx ny < 2^31
 * Method    crystint/cbc/scaling/projection.py, bilinear
 * Oracle    tests/oracles/cbc_scaling.py
 */
/* The node at or below a coordinate, of which there is one above. */
static inline int node_below(__global const int *nodes, __global const int *first, const int n, const int u)
{
    int below = first[u >> 22];
    while (below < n - 2 && nodes[below + 1] <= u) below++;
    return below;
}

static inline float part_of_cell(__global const int *nodes, const int below, const int u)
{
    const float part = (float)(u - nodes[below]) / (float)(nodes[below + 1] - nodes[below]);
    return clamp(part, 0.0f, 1.0f);
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void cbc_interpolate(__global const float *chi,
                     __global const int *nodes_x,
                     __global const int *nodes_y,
                     __global const int *first_x,
                     __global const int *first_y,
                     __global const int *ux,
                     __global const int *uy,
                     __global const int *rank,
                     __global const int *start,
                     __global const int *frame,
                     __global const float *profile,
                     const int nx,
                     const int ny,
                     __global float *values)
{
    const int streak = get_group_id(0), last = start[streak + 1];
    __global const float *map = chi + (size_t)frame[streak] * nx * ny;
    for (int k = start[streak] + get_local_id(0); k < last; k += LOCAL_SIZE) {
        const int x = ux[rank[k]], y = uy[rank[k]];
        const int column = node_below(nodes_x, first_x, nx, x), row = node_below(nodes_y, first_y, ny, y);
        const float right = part_of_cell(nodes_x, column, x), high = part_of_cell(nodes_y, row, y);
        const float share[4] = {(1.0f - high) * (1.0f - right), (1.0f - high) * right, high * (1.0f - right), high * right};
        __global const float *corner = map + row * nx + column;
        const float node[4] = {corner[0], corner[1], corner[nx], corner[nx + 1]};
        float total = 0.0f, weight = 0.0f, missing = 0.0f;
        for (int i = 0; i < 4; i++) {
            const int empty = isnan(node[i]);
            total += empty ? 0.0f : share[i] * node[i];
            weight += empty ? 0.0f : share[i];
            missing += empty ? share[i] : 0.0f;
        }
        if (missing > 0.0f) total /= weight; /* NaN where all are */
#if PLAIN
        values[k] = total;
#else
        values[k] = isnan(total) ? 0.0f : total * profile[k];
#endif
    }
}

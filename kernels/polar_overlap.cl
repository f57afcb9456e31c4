/* polar_overlap.cl - the areas that the cells of a polar grid share with the pixels of a frame.
 *
 * What      counts the pixels under each cell (FILL = 0), or lists them with the areas (FILL = 1). A cell is the polygon of the nodes
 *           on its inner and outer arc; neighbours share nodes, so that a pixel's areas add up to 1
 * Launch    one work-item per cell, rounded up to whole work-groups of LOCAL_SIZE
 * In        node  [rows + 1][columns * steps + 1]  (fast, slow) of nodes from the outer corner of the frame, in units of
 *                              1 / 65536 px; INT_MIN = nowhere
 *           columns, steps     cells of a row; nodes from one cell to the next
 *           cells              number of them
 *           slow, fast         pixels of the frame
 *           start [cells + 1]  where the entries of each cell go (FILL)
 * Out       count [cells]      number of entries (FILL = 0)
 *           place [entries]    the pixel, counted in a frame with a border of 1 (FILL = 1)
 *           area  [entries]    the area, px^2 (FILL = 1)
 * Defines   FILL = 0 | 1; LOCAL_SIZE
 * Exact     1e-6 px^2 for cells of up to 100 px; areas below LEAST are left out
 * Limits    nodes within 32767 px of the frame's corner
 * Method    area of a polygon within a unit square: its edges, clipped to the square's width, integrate the height clipped to 0..1,
 *           which is what anti-aliased rasterizers add up
 * Oracle    tests/oracles/correlate_polar.py
 */
#define LEAST 1e-6f

/* The integral over x from 0 to 1 of the edge's height, held between 0 and 1; negative where x falls. */
static inline float under_edge(const float x0, const float y0, const float x1, const float y1)
{
    const float xa = clamp(x0, 0.0f, 1.0f), xb = clamp(x1, 0.0f, 1.0f);
    if (xa == xb) return 0.0f;
    const float slope = (y1 - y0) / (x1 - x0);
    const float ya = y0 + (xa - x0) * slope, yb = y1 + (xb - x1) * slope;
    const float la = clamp(ya, 0.0f, 1.0f), lb = clamp(yb, 0.0f, 1.0f);
    const float rise = yb - ya;
    const float mean = fabs(rise) < 1e-7f ? la : ((lb - la) * (lb + la) * 0.5f + fmax(yb, 1.0f) - fmax(ya, 1.0f)) / rise;
    return (xb - xa) * mean;
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void polar_overlap(__global const int2 *node,
                   const int columns,
                   const int steps,
                   const uint cells,
                   const int slow,
                   const int fast,
                   __global const uint *start,
                   __global uint *count,
                   __global uint *place,
                   __global float *area)
{
    const uint cell = get_global_id(0);
    if (cell >= cells) return;
    const int row = cell / columns, column = cell % columns;
    __global const int2 *inner = node + (size_t)row * (columns * steps + 1) + column * steps;
    __global const int2 *outer = inner + columns * steps + 1;
    int2 low = inner[0], high = inner[0];
    for (int k = 0; k <= steps; k++) {
        low = min(low, min(inner[k], outer[k]));
        high = max(high, max(inner[k], outer[k]));
    }
    uint found = 0, at = FILL ? start[cell] : 0;
    const int known = low.x > INT_MIN && low.y > INT_MIN;
    const int2 first = max(low >> 16, (int2)(0, 0)), last = min(high >> 16, (int2)(fast - 1, slow - 1));
    for (int y = first.y; known && y <= last.y; y++)
        for (int x = first.x; x <= last.x; x++) {
            const int2 corner = (int2)(x << 16, y << 16);
            float sum = 0.0f;
            float2 from = convert_float2(inner[0] - corner) * 0x1p-16f;
            for (int k = 1; k <= 2 * steps + 2; k++) {
                const int2 next = k <= steps ? inner[k] : k <= 2 * steps + 1 ? outer[2 * steps + 1 - k] : inner[0];
                const float2 to = convert_float2(next - corner) * 0x1p-16f;
                sum += under_edge(from.x, from.y, to.x, to.y);
                from = to;
            }
            sum = fabs(sum);
            if (sum < LEAST) continue;
#if FILL
            place[at + found] = (uint)(y + 1) * (uint)(fast + 2) + (uint)(x + 1);
            area[at + found] = fmin(sum, 1.0f);
#endif
            found++;
        }
#if !FILL
    count[cell] = found;
#endif
}

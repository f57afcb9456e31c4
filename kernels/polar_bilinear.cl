/* polar_bilinear.cl - a polar image interpolated linearly between the four pixels about each point.
 *
 * What      the mean of the pixels that hold data, weighted by nearness, and the sum of their weights
 * Launch    one work-item per cell, rounded up to whole work-groups of LOCAL_SIZE
 * In        image [pixels]     a frame with a border, NaN = no data (polar_frame.cl)
 *           place [cells]      the first, in slow and fast, of the four pixels; 0 where the point is outside the frame
 *           part  [cells][2]   how far the point is from there to the next pixel, (fast, slow), in units of 1 / 65536 px
 *           width              pixels of a row of the image
 *           cells              number of them
 * Out       values [cells]     float, NaN = no data
 *           weights [cells]    0 to 1: 1 = all four pixels hold data
 * Defines   LOCAL_SIZE
 * Exact     places to 8e-6 px, sums to a float's rounding
 * Limits    cells < 2^31
 * Method    bilinear interpolation, normalized by the weights that are there (normalized convolution)
 * Oracle    tests/oracles/correlate_polar.py
 */
static inline void add_pixel(float *sum, float *total, const float value, const float weight)
{
    const int good = !isnan(value);
    *sum += good ? weight * value : 0.0f;
    *total += good ? weight : 0.0f;
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void polar_bilinear(__global const float *image,
                    __global const uint *place,
                    __global const ushort2 *part,
                    const uint width,
                    const uint cells,
                    __global float *values,
                    __global float *weights)
{
    const uint cell = get_global_id(0);
    if (cell >= cells) return;
    const uint p = place[cell];
    const float f = part[cell].x * 0x1p-16f, s = part[cell].y * 0x1p-16f;
    float sum = 0.0f, total = 0.0f;
    add_pixel(&sum, &total, image[p], (1.0f - s) * (1.0f - f));
    add_pixel(&sum, &total, image[p + 1], (1.0f - s) * f);
    add_pixel(&sum, &total, image[p + width], s * (1.0f - f));
    add_pixel(&sum, &total, image[p + width + 1], s * f);
    values[cell] = total > 0.0f ? sum / total : NAN;
    weights[cell] = total;
}

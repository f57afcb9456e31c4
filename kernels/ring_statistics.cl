/* ring_statistics.cl - background of every ring of a frame by iterative sigma clipping.
 *
 * What      reads the counts s of each ring once, beginning with a robust estimate of their level: the core of the ring, which
 *           no cycle will clip, is summed up at once, the other pixels (its tails, some per cent) are listed. The cycles, which drop
 *           |s/w - mean| > t std until nothing more is dropped, then look at the tails alone, and so does picking.
 * Launch    one work-group of LOCAL_SIZE per GROUP rings; second dimension: one frame after the other. Rings of a group are read
 *           together, band of rows after band of rows, so that their pixels are near one another in the frame
 * In        frame  [frames][pixels]  raw counts, PIXEL_T
 *           order  [padded]      pixel numbers by group, band, ring; each such segment padded to a multiple of LANES with any pixel
 *           segment [groups * bands * GROUP + 1]  where the segments begin in `order`
 *           ring_weight [padded] normalization w of the pixels in that order, NaN in the padding
 *           ring_dark [padded]   dark counts in that order (HAS_DARK)
 *           sample_pixel [rings][SAMPLE]  pixels spread evenly over the ring, -1 = none
 *           sample_value [rings][SAMPLE]  their normalization and dark counts
 *           about  [rings]       mean, largest and smallest normalization of the ring, and its number of pixels
 *           room   [rings + 1]   where the tails of ring r go: room[r] .. room[r + 1] - 1
 *           run    [groups * bands + 1]  the lines of a group and band: line[run[i]] .. line[run[i + 1] - 1]
 *           line                 a pixel in each line of 16 that the group has in the band (TOUCH)
 *           beyond [rings]       of clip_histogram.cl: CPUs pass over rings where it is 0
 *           rings, bands         numbers of them
 *           pixels               of a frame
 *           saturation           largest valid raw value
 *           clip                 threshold t in units of std; 0 = Chauvenet's sqrt(2 ln(n / sqrt(2 pi)))
 *           cycles               0 = no clipping at all
 * Out       tail_pixel [frames][room]  numbers of the pixels in the tails; those of work-item i of a ring are at
 *                                room[r] + i, + LOCAL_SIZE, + 2 LOCAL_SIZE, ...
 *           tail_above, tail_weight  likewise: s - c w, and w
 *           tails  [frames][rings][LOCAL_SIZE]  how many; -1 = there was no room: all of the ring is tail
 *           cover  [frames][rings]   normalized counts above which every pixel is in the tails
 *           lost   [frames][rings]   not 0 if a pixel is unusable
 *           sums   [frames][rings][8]  n, V / Omega - c, Omega, OmegaOmega, VV azimuthal, c, n of counts that are not whole, below
 *                                zero or have a dark subtracted, excess variance (azimuthal / Poisson)
 *           totals [frames][rings][8]  of the pixels as they are in the frame: sum, largest, numbers (ring_totals.h)
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE, HAS_DARK (pixel.h); POISSON_CLIP = 1: clip with the Poisson spread, 0: azimuthal;
 *           LANES, LOCAL_SIZE (lanes.h); GROUP; TOUCH: 1 to load the lines of a group first
 * Exact     s - c w is exact to 24 bits of the difference, whatever the counts; moments are taken about a value within a few std
 *           of the mean: 1e-5 relative in float32. Always in the same order. Totals are exact; the sum of floats to 1e-6.
 * Limits    padded < 2^31
 * Method    Kieffer (2025), J. Appl. Cryst. 58, 138, for clipping, error models and Chauvenet's threshold; the robust start,
 *           the Poisson floor of the upper limit, and core and tails are crystint's (docs/background.md)
 * Oracle    tests/oracles/background.py
 */
#include "group_barrier.h"
#include "ring_core.h"
#include "ring_clip.h"
#include "ring_sample.h"

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_statistics(__global const PIXEL_T *frame,
                     __global const int *order,
                     __global const int *segment,
                     __global const float *ring_weight,
                     __global const float *ring_dark,
                     __global const int *sample_pixel,
                     __global const float2 *sample_value,
                     __global const float4 *about,
                     __global const int *room,
                     __global const int *run,
                     __global const int *line,
                     __global const uint *beyond,
                     const int rings,
                     const int bands,
                     const uint pixels,
                     const PIXEL_T saturation,
                     const float clip,
                     const int cycles,
                     __global uint *tail_pixel,
                     __global float *tail_above,
                     __global float *tail_weight,
                     __global int *tails,
                     __global float *cover,
                     __global uint *lost,
                     __global float *sums,
                     __global uint *totals)
{
    __local float sample[SAMPLE];
    __local float slot[(MOMENTS + 4) * LOCAL_SIZE];
    __local Order statistics;
    __local Seen seen;
    const int group = get_group_id(0), number = get_group_id(1), me = get_local_id(0);
    const int members = min(GROUP, rings - group * GROUP);
    const size_t shift = (size_t)number * room[rings];
    const Pixels in = {frame + (size_t)number * pixels, order, ring_weight, ring_dark, saturation, bands};
    segment += group * bands * GROUP;
    tail_pixel += shift, tail_above += shift, tail_weight += shift;

    int wanted[GROUP], some = 0;
    for (int g = 0; g < members; g++) {
        wanted[g] = LOCAL_SIZE > 1 || beyond[group * GROUP + g] != 0;
        some += wanted[g];
    }
#if TOUCH
    for (int i = run[group * bands]; 2 * some >= members && i < run[(group + 1) * bands]; i++) TOUCH_LINE(PIXEL_T, in.frame, line[i]);
#endif

    /* From a sample of each ring, where its core is. */
    Start start[GROUP];
    int empty[GROUP];
    float4 weights[GROUP];
    for (int g = 0; g < members; g++) {
        const int ring = group * GROUP + g;
        if (!wanted[g]) continue;
        take_sample(&in, segment + g, sample_pixel + ring * SAMPLE, sample_value + ring * SAMPLE, about[ring], sample, &seen);
        empty[g] = seen.known == 0; /* the same for all work-items */
        if (seen.known > 0) order_statistics(sample, seen.known, &statistics);
        weights[g] = (float4)(seen.mean_weight, seen.heaviest, seen.lightest, seen.usable);
        const int whole = PIXEL_KIND != 2 || !seen.fractional;
        start[g] = robust_start(statistics, max(seen.known, 1), whole, seen.usable, seen.mean_weight, seen.heaviest,
                                seen.lightest, clip, cycles);
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    }

    /* Sum up the cores, list the tails. */
    Core core[GROUP];
    for (int g = 0; g < members; g++) clear_core(&core[g]);
    for (int band = 0; band < bands; band++) {
        for (int g = 0; g < members; g++) {
            if (!wanted[g] || empty[g]) continue;
            const int ring = group * GROUP + g, mine = room[ring] + me;
            const Tails list = {tail_pixel + mine, tail_above + mine, tail_weight + mine,
                                (room[ring + 1] - room[ring]) / LOCAL_SIZE};
            const int last = segment[band * GROUP + g + 1];
            for (int first = segment[band * GROUP + g]; first < last; first += SEGMENT)
                add_core(&core[g], &in, &start[g], &list, first, min(first + SEGMENT, last));
        }
    }

    /* Clip. */
    for (int g = 0; g < members; g++) {
        const int ring = group * GROUP + g, row = number * rings + ring;
        if (!wanted[g]) continue;
        if (empty[g]) {
            for (int i = me; i < 8; i += LOCAL_SIZE) sums[8 * row + i] = 0.0f;
            tails[row * LOCAL_SIZE + me] = -1;
            if (me == 0) {
                cover[row] = INFINITY;
                lost[row] = about[ring].w > 0.0f;
            }
            for (int band = 0; band < bands; band++)
                core[g].totals.saturated += saturated_in(&in, segment[band * GROUP + g], segment[band * GROUP + g + 1]);
            write_totals(&core[g].totals, core[g].totals.saturated, 0.0f, totals + TOTALS * row);
            continue;
        }
        const int n_tails = core[g].n_tails, rounds = (room[ring + 1] - room[ring]) / LOCAL_SIZE;
        Ring all = {&in, segment + g, tail_above + room[ring] + me, tail_weight + room[ring] + me, n_tails, start[g],
                    weights[g].x, weights[g].y, weights[g].z};
        for (int i = n_tails; i % LANES != 0 && i < rounds; i++) tail_above[room[ring] + me + i * LOCAL_SIZE] = NAN;
        lane_sums(&core[g].sum, all.core);
        all.core[MOMENTS] = n_tails > rounds;
        all.core[MOMENTS + 1] = any_lane(core[g].missing) ? 1.0f : 0.0f;
        all.core[MOMENTS + 2] = HAS_DARK || NEGATIVE ? 1.0f : core[g].fractions;
        all.core[MOMENTS + 3] = sum_of_floats(&core[g].totals);
        const uint known = (uint)all.core[0] + n_tails;
        group_sums(all.core, MOMENTS + 4, slot);
        write_totals(&core[g].totals, known, all.core[MOMENTS + 3], totals + TOTALS * row);
        const int full = all.core[MOMENTS] > 0.0f;
        tails[row * LOCAL_SIZE + me] = full ? -1 : n_tails;
        all.whole = full;
        const Clipped left = clip_ring(&all, clip, cycles, slot);
        const float excess = excess_variance(&all, &left, slot);
        if (me == 0) {
            __global float *out = sums + 8 * row;
            out[0] = left.n;
            out[1] = left.mean;
            out[2] = left.omega;
            out[3] = left.omega2;
            out[4] = left.vv;
            out[5] = start[g].c;
            out[6] = all.core[MOMENTS + 2];
            out[7] = excess;
            cover[row] = full ? INFINITY
                              : fmax(start[g].c + start[g].core_high, start[g].core_count / all.lightest) * (1.0f + 1e-6f);
            lost[row] = all.core[MOMENTS + 1] > 0.0f;
        }
    }
}

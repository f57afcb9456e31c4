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
 *           weight [padded]      normalization w of the pixels in that order, NaN in the padding
 *           dark   [padded]      dark counts in that order (HAS_DARK)
 *           sample_pixel [rings][SAMPLE]  pixels spread evenly over the ring, -1 = none
 *           sample_value [rings][SAMPLE]  their normalization and dark counts
 *           about  [rings]       mean, largest and smallest normalization of the ring, and its number of pixels
 *           room   [rings + 1]   where the tails of ring r go: room[r] .. room[r + 1] - 1
 *           run    [groups * bands + 1]  the lines of a group and band: line[run[i]] .. line[run[i + 1] - 1]
 *           line                 a pixel in each line of 16 that the group has in the band (TOUCH)
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
 *           lost   [frames][rings]   1 if a pixel is unusable, else 0
 *           sums   [frames][rings][8]  n, V / Omega - c, Omega, OmegaOmega, VV azimuthal, c, n of counts that are not whole or
 *                                have a dark subtracted, excess variance (azimuthal / Poisson)
 * Defines   PIXEL_T, PIXEL_KIND, PIXEL_WIDE, HAS_DARK (pixel.h); POISSON_CLIP = 1: clip with the Poisson spread, 0: azimuthal;
 *           LANES, LOCAL_SIZE (lanes.h); GROUP; TOUCH: 1 to load the lines of a group first
 * Exact     s - c w is exact to 24 bits of the difference, whatever the counts; moments are taken about a value within a few std
 *           of the mean: 1e-5 relative in float32. Always in the same order.
 * Limits    padded < 2^31
 * Method    Kieffer (2025), J. Appl. Cryst. 58, 138, for clipping, error models and Chauvenet's threshold; the robust start,
 *           the Poisson floor of the upper limit, and core and tails are crystint's (docs/background.md)
 * Oracle    tests/oracles/background.py
 */
#include "pixel.h"
#include "moments.h"
#include "ring_start.h"

#define LEAST_SAMPLE 32
#define HELD_VECTORS (LANES == 1 ? 1 : 32)

/* Where the pixels of a frame are. */
typedef struct {
    __global const PIXEL_T *frame;
    __global const int *order;
    __global const float *weight;
    __global const float *dark;
    PIXEL_T saturation;
    int bands;
} Pixels;

/* Normalized counts; infinite where there is no measurement. */
static inline float value_at(const Pixels *in, const int k)
{
    const PIXEL_T raw = in->frame[in->order[k]];
    return usable(raw) && raw <= in->saturation ? COUNTS(raw, in->dark, k) / in->weight[k] : INFINITY;
}

/* Counts of LANES pixels less c w; NaN where there is no measurement. `known`: those that are usable, if saturated. */
static inline floats above_at(const Pixels *in, const floats w, const float c, const int k, ints *known)
{
    const wides raw = GATHER(in->frame, in->order + k);
    floats a = TO_FLOATS(raw);
    if (c != 0.0f) a = counts_above(raw, c, w);
#if HAS_DARK
    a -= FLOATS(__global const, in->dark, k);
#endif
    *known = usable_lanes(raw);
    const ints good = *known & MASK(raw <= WIDE(in->saturation));
    return AS_FLOATS((AS_INTS(a) & good) | (AS_INTS((floats)NAN) & ~good));
}

/* Sums over all pixels of a ring that are inside the limits, about the value `about`. */
static inline void add_ring(Moments *sum, const Pixels *in, __global const int *segment, const float c,
                            const Limits limits, const float about)
{
    for (int band = 0; band < in->bands; band++) {
        Moments part;
        clear(&part);
        const int last = segment[band * GROUP + 1];
        for (int k = segment[band * GROUP] + get_local_id(0) * LANES; k < last; k += LOCAL_SIZE * LANES) {
            const floats w = FLOATS(__global const, in->weight, k);
            ints known;
            const floats a = above_at(in, w, c, k, &known);
            add_pixels(&part, a, w, inside(a, w, c, limits), about);
        }
        add_block(sum, &part);
    }
}

/* The same over its tails. */
static inline void add_tails(Moments *sum, __global const float *above, __global const float *weight, const int n,
                             const float c, const Limits limits, const float about)
{
    for (int i = 0; i < n; i += LANES) {
        const floats a = FLOATS(__global const, above, i * LOCAL_SIZE), w = FLOATS(__global const, weight, i * LOCAL_SIZE);
        add_pixels(sum, a, w, inside(a, w, c, limits), about);
    }
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void ring_statistics(__global const PIXEL_T *frame,
                     __global const int *order,
                     __global const int *segment,
                     __global const float *weight,
                     __global const float *dark,
                     __global const int *sample_pixel,
                     __global const float2 *sample_value,
                     __global const float4 *about,
                     __global const int *room,
                     __global const int *run,
                     __global const int *line,
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
                     __global float *sums)
{
    __local float sample[SAMPLE];
    __local float slot[(MOMENTS + 3) * LOCAL_SIZE];
    __local Order statistics;
    __local int found;
    const int group = get_group_id(0), number = get_group_id(1), me = get_local_id(0);
    const int members = min(GROUP, rings - group * GROUP);
    const size_t shift = (size_t)number * room[rings];
    const Pixels in = {frame + (size_t)number * pixels, order, weight, dark, saturation, bands};
    segment += group * bands * GROUP;
    tail_pixel += shift, tail_above += shift, tail_weight += shift;

#if TOUCH
    for (int i = run[group * bands]; i < run[(group + 1) * bands]; i++) LOADED(PIXEL_T, in.frame, line[i]);
#endif

    /* 1. From a sample of each ring, where its core is. */
    Start start[GROUP];
    int empty[GROUP];
    for (int g = 0; g < members; g++) {
        const int ring = group * GROUP + g;
        for (int i = me; i < SAMPLE; i += LOCAL_SIZE) {
            const int pixel = sample_pixel[ring * SAMPLE + i];
            const PIXEL_T raw = LOADED(PIXEL_T, in.frame, max(pixel, 0));
            const float2 value = sample_value[ring * SAMPLE + i];
            sample[i] = pixel >= 0 && usable(raw) && raw <= saturation ? ((float)raw - value.y) / value.x : INFINITY;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me == 0) {
            int n = 0;
            for (int i = 0; i < SAMPLE; i++) n += sample[i] < INFINITY;
            if (n < LEAST_SAMPLE && about[ring].w > SAMPLE) { /* mostly unusable: take the first that are not */
                n = 0;
                for (int band = 0; band < bands; band++)
                    for (int k = segment[band * GROUP + g]; k < segment[band * GROUP + g + 1] && n < SAMPLE; k++) {
                        const float v = value_at(&in, k);
                        if (v < INFINITY) sample[n++] = v; /* not NaN, in the padding */
                    }
                for (int i = n; i < SAMPLE; i++) sample[i] = INFINITY;
            }
            found = n;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        const int known = found;
        empty[g] = known == 0; /* the same for all work-items */
        if (known > 0) order_statistics(sample, known, &statistics);
        start[g] = robust_start(statistics, max(known, 1), about[ring].w, about[ring].x, about[ring].y,
                                about[ring].z, clip, cycles);
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    /* 2. Sum up the cores, list the tails. */
    Moments core[GROUP];
    int n_tails[GROUP];
    ints missing[GROUP];
    float my_fractions[GROUP];
    for (int g = 0; g < members; g++) {
        clear(&core[g]);
        n_tails[g] = 0;
        missing[g] = 0;
        my_fractions[g] = 0.0f;
    }
    for (int band = 0; band < bands; band++) {
        for (int g = 0; g < members; g++) {
            if (empty[g]) continue;
            const float c = start[g].c, near = start[g].near, core_low = start[g].core_low;
            const float core_high = start[g].core_high, core_count = start[g].core_count;
            const int first = segment[band * GROUP + g], last = segment[band * GROUP + g + 1];
            const int mine = room[group * GROUP + g] + me;
            const int rounds = (room[group * GROUP + g + 1] - room[group * GROUP + g]) / LOCAL_SIZE;
            Moments part;
            ints unknown = 0;
            int n = n_tails[g], n_held = 0, held_at[HELD_VECTORS];
            int held[HELD_VECTORS * LANES];
            float held_a[HELD_VECTORS * LANES];
            clear(&part);
            for (int k = first + me * LANES; k < last; k += LOCAL_SIZE * LANES) {
                const floats w = FLOATS(__global const, weight, k);
                ints known;
                const floats a = above_at(&in, w, c, k, &known);
                const ints inner = MASK(a >= core_low * w) & (MASK(a <= core_high * w) | MASK(a <= core_count));
                add_pixels(&part, a, w, inner, near);
                unknown |= ~known;
#if PIXEL_KIND == 2
                const floats s = a + c * w;
                my_fractions[g] += lane_sum(where(MASK(s != rint(s)) & MASK(s == s), (floats)1.0f));
#endif
                /* Vectors with a pixel of the tails are held back, without a branch that could not be foreseen. */
                const ints outer = known & ~inner & MASK(w == w); /* NaN: padding */
                INTS(__private, held, n_held * LANES) = outer;
                held_at[n_held] = k;
                FLOATS(__private, held_a, n_held * LANES) = a;
                n_held += any_lane(outer) != 0;
                if (n_held == HELD_VECTORS || k + LOCAL_SIZE * LANES >= last) {
                    for (int v = 0; v < n_held; v++)
                        for (uint left = lane_bits(INTS(__private, held, v * LANES)); left != 0; left &= left - 1, n++) {
                            const int lane = 31 - clz(left & -left), at = mine + n * LOCAL_SIZE;
                            if (n >= rounds) continue;
                            tail_pixel[at] = order[held_at[v] + lane];
                            tail_above[at] = held_a[v * LANES + lane];
                            tail_weight[at] = weight[held_at[v] + lane];
                        }
                    n_held = 0;
                }
            }
            n_tails[g] = n;
            missing[g] |= unknown;
            add_block(&core[g], &part);
        }
    }

    for (int g = 0; g < members; g++) {
        const int ring = group * GROUP + g, row = number * rings + ring;
        const int rounds = (room[ring + 1] - room[ring]) / LOCAL_SIZE;
        const float mean_weight = about[ring].x, heaviest = about[ring].y, lightest = about[ring].z;
        if (empty[g]) {
            for (int i = me; i < 8; i += LOCAL_SIZE) sums[8 * row + i] = 0.0f;
            tails[row * LOCAL_SIZE + me] = -1;
            if (me == 0) {
                cover[row] = INFINITY;
                lost[row] = about[ring].w > 0.0f;
            }
            continue;
        }
        const float c = start[g].c, near = start[g].near, core_low = start[g].core_low;
        const float core_high = start[g].core_high, core_count = start[g].core_count;
        Limits limits = start[g].limits;
        __global float *above = tail_above + room[ring] + me, *heavy = tail_weight + room[ring] + me;
        const int n_mine = n_tails[g];
        for (int i = n_mine; i % LANES != 0 && i < rounds; i++) above[i * LOCAL_SIZE] = NAN;
        float of_core[MOMENTS + 3]; /* and how many work-items lack room, have unusable pixels, have fractions of counts */
        lane_sums(&core[g], of_core);
        of_core[MOMENTS] = n_mine > rounds;
        of_core[MOMENTS + 1] = any_lane(missing[g]) ? 1.0f : 0.0f;
        of_core[MOMENTS + 2] = HAS_DARK ? 1.0f : my_fractions[g];
        group_sums(of_core, MOMENTS + 3, slot);
        const int full = of_core[MOMENTS] > 0.0f;
        tails[row * LOCAL_SIZE + me] = full ? -1 : n_mine;

        /* 3. Cycles. All work-items hold the same limits. */
        float mean = near, n = 0.0f, omega = 0.0f, omega2 = 0.0f, vv = 0.0f, v = 0.0f;
        int whole = full; /* the core is not what it was meant to be: look at all of the ring */
        for (int cycle = 0; cycle <= cycles; cycle++) {
            float total[MOMENTS], from;
            for (int again = 0; again < 2; again++) {
                whole |= !(limits.low <= core_low && core_high <= limits.high &&
                           core_count <= fmax(limits.floor_count, limits.high * lightest));
                Moments sum;
                clear(&sum);
                from = whole ? mean : near;
                if (whole)
                    add_ring(&sum, &in, segment + g, c, limits, from);
                else
                    add_tails(&sum, above, heavy, n_mine, c, limits, from);
                lane_sums(&sum, total);
                group_sums(total, MOMENTS, slot);
                if (!whole)
                    for (int m = 0; m < MOMENTS; m++) total[m] += of_core[m];
                const float far = total[1] / total[2];
                if (whole || !(far * far * total[3] > 64.0f * total[4])) break;
                mean = near + far; /* too far away for sums about `near` to be exact */
                whole = 1;
            }
            if (total[0] == 0.0f) break; /* a cycle that leaves nothing is not carried out */

            const float further = total[1] / total[2];
            const int same = cycle > 0 && total[0] == n;
            n = total[0];
            omega = total[2];
            omega2 = total[3];
            vv = fmax(total[4] - 2.0f * further * total[5] + further * further * total[3], 0.0f);
            mean = from + further;
            v = (c + mean) * omega;
            if (same || cycle == cycles) break;

#if POISSON_CLIP
            const float std = sqrt(fmax(v, 0.0f) / omega2);
#else
            const float std = sqrt(vv / omega2);
#endif
            const float reach = (clip > 0.0f ? clip : chauvenet(n)) * std, level = (c + mean) * mean_weight;
            limits.low = fmax(limits.low, mean - reach);
            limits.high = fmin(limits.high, mean + reach);
            limits.floor_count = level < 10.0f ? reached_by_chance((c + mean) * heaviest, n) : -INFINITY;
            limits.zero_stays = level < 10.0f;
        }

        /* 4. The excess variance. Up to 1.3 it is that of the core of the ring, within 3 std, where the feet of Bragg peaks
         * that clipping left do not reach (a Gaussian has 0.9733 of its variance there); from 1.7 on, or below 2
         * counts, that of all that clipping left. */
        const float all = v > 0.0f ? vv / v : 1.0f;
        float excess = all;
        if ((c + mean) * mean_weight >= 2.0f && n > 0.0f && all < 1.7f) {
            const float reach = 3.0f * sqrt(vv / omega2);
            const Limits narrow = {mean - reach, mean + reach, -INFINITY, 0};
            whole |= !(narrow.low <= core_low && core_high <= narrow.high && core_count <= narrow.high * lightest);
            Moments sum;
            float total[MOMENTS];
            clear(&sum);
            if (whole)
                add_ring(&sum, &in, segment + g, c, narrow, mean);
            else
                add_tails(&sum, above, heavy, n_mine, c, narrow, near);
            lane_sums(&sum, total);
            group_sums(total, MOMENTS, slot);
            if (!whole)
                for (int m = 0; m < MOMENTS; m++) total[m] += of_core[m];
            const float further = whole ? 0.0f : mean - near;
            const float squares = total[4] - 2.0f * further * total[5] + further * further * total[3];
            const float inner = total[2] > 0.0f ? squares / (0.9733f * (c + mean) * total[2]) : 1.0f;
            excess = mix(inner, all, clamp((all - 1.3f) / 0.4f, 0.0f, 1.0f));
        }
        if (me == 0) {
            __global float *out = sums + 8 * row;
            out[0] = n;
            out[1] = mean;
            out[2] = omega;
            out[3] = omega2;
            out[4] = vv;
            out[5] = c;
            out[6] = of_core[MOMENTS + 2];
            out[7] = excess;
            cover[row] = full ? INFINITY : fmax(c + core_high, core_count / lightest) * (1.0f + 1e-6f);
            lost[row] = of_core[MOMENTS + 1] > 0.0f;
        }
    }
}

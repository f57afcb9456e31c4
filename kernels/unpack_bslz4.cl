/* unpack_bslz4.cl - frames that were packed with bitshuffle and LZ4.
 *
 * What      each block of a chunk is unpacked by LZ4 into local memory, and its bits go from planes back into pixels
 * Launch    one work-group of LOCAL_SIZE per block, and one for the pixels that fill no group of eight; for each frame (2nd dimension)
 * In        packed   [size]  the chunks, one after the other, each as it is in its file or message
 *           size             bytes of them
 *           starts   [frames][blocks + 2]  where in `packed` each block begins, with its length in 4 bytes before its bytes, where
 *                            the last one ends and the pixels that were not packed begin, and where the chunk ends
 *           blocks           of a frame; may be 0
 *           block            pixels of one, a multiple of 8; the last one has what is left of `pixels`, without a rest below 8
 *           pixels           of a frame
 * Out       frame    [frames][pixels]  PIXEL_T; undefined in blocks that are damaged
 *           damaged  [frames]  blocks that are no such data are added to it
 * Defines   PIXEL_T = uchar | ushort | uint | ulong; BIG_ENDIAN = 1 where the bytes of pixels are turned; BLOCK_BYTES, the most that
 *           a block may have unpacked; LOCAL_SIZE
 * Exact     yes: the bytes of the host's decoder. A block is damaged where LZ4's plain, careful decoder says so; its fast paths let
 *           some blocks pass whose last bytes break the rules of the format
 * Limits    size < 2^32. Whatever the bytes and `starts` hold, nothing is read beyond `packed` and written beyond `frame`
 * Method    Y. Collet, "LZ4 block format description"; K. Masui et al. (2015), Astronomy and Computing 12, 181. All items of a group
 *           read the same lengths, and copy together; a match that overlaps itself repeats what was there before it began
 * Oracle    tests/oracles/bslz4.py
 */
#include "group_barrier.h"

#define SIZE ((uint)sizeof(PIXEL_T))
#if BIG_ENDIAN
#define PLACE(byte) (SIZE - 1 - (byte))
#else
#define PLACE(byte) (byte)
#endif
#define TOKEN_FULL 15     /* a length that goes on in further bytes */
#define SHORTEST_MATCH 4
#define LAST_LITERALS 5   /* bytes at the end of a block that no match may make */
#define LAST_MATCH 12     /* a match begins at least so many bytes before the end */

/* Literals to copy, and then a match with what is unpacked already. */
typedef struct {
    uint from, literals; /* where in the block, how many bytes */
    uint back, match;    /* how far back, how many bytes */
    uint next;           /* where the next sequence begins */
    int last, good;
} Sequence;

/* A length of `length` that goes on at `*at`, which is moved on; bytes from `end` on are not of it. More than `most` = none. */
static inline uint longer(__global const uchar *packed, uint *at, const uint end, uint length, const uint most)
{
    uint more = 255;
    while (more == 255 && length <= most) {
        if (*at >= end) return most + 1;
        more = packed[(*at)++];
        length += more;
    }
    return length;
}

/* The sequence at `at` of a block of `size` bytes, of which `left` bytes are still to be unpacked after `made`. */
static inline Sequence sequence_at(__global const uchar *packed, uint at, const uint size, const uint made, const uint left)
{
    Sequence s = {0, 0, 0, 0, 0, 1, 0};
    if (at >= size) return s;
    const uint token = packed[at++];
    uint literals = token >> 4, match = token & TOKEN_FULL;
    if (literals == TOKEN_FULL) literals = longer(packed, &at, size > TOKEN_FULL ? size - TOKEN_FULL : 0, literals, left);
    if (literals > left) return s;
    const int last = literals + LAST_MATCH > left || literals + LAST_LITERALS + 3 > size - at;
    if (last && (literals != left || literals != size - at)) return s;
    s.from = at;
    at += literals;
    if (!last) {
        s.back = packed[at] | (uint)packed[at + 1] << 8;
        at += 2;
        if (match == TOKEN_FULL) match = longer(packed, &at, size - LAST_LITERALS + 1, match, left);
        match += SHORTEST_MATCH;
        if (s.back == 0 || s.back > made + literals || match + LAST_LITERALS > left - literals) return s;
        s.match = match;
    }
    s.literals = literals;
    s.next = at;
    s.last = last;
    s.good = 1;
    return s;
}

/* Unpack a block of LZ4 of `size` bytes; whether it makes `length` bytes. */
int unpack_lz4(__global const uchar *packed, const uint size, __local uchar *bytes, const uint length)
{
    const uint me = get_local_id(0);
    uint at = 0, made = 0;
    int good = 1, last = 0;
    while (!last) {
        const Sequence s = sequence_at(packed, at, size, made, length - made);
        for (uint i = me; i < s.literals; i += LOCAL_SIZE) bytes[made + i] = packed[s.from + i];
        made += s.literals;
        GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
        for (uint i = me; i < s.match; i += LOCAL_SIZE) bytes[made + i] = bytes[made - s.back + (i < s.back ? i : i % s.back)];
        made += s.match;
        at = s.next;
        good = s.good;
        last = s.last;
    }
    GROUP_BARRIER(CLK_LOCAL_MEM_FENCE);
    return good;
}

/* Turn 8 x 8 bits: bit i of byte k becomes bit k of byte i. */
static inline ulong turned(ulong bits)
{
    ulong swap = (bits ^ bits >> 7) & 0x00AA00AA00AA00AAUL;
    bits ^= swap ^ swap << 7;
    swap = (bits ^ bits >> 14) & 0x0000CCCC0000CCCCUL;
    bits ^= swap ^ swap << 14;
    swap = (bits ^ bits >> 28) & 0x00000000F0F0F0F0UL;
    return bits ^ swap ^ swap << 28;
}

/* Pixels 8 * group to 8 * group + 7 of `groups` groups, whose bits lie in planes. */
static inline void put_group(__local const uchar *planes, const uint group, const uint groups, __global PIXEL_T *to)
{
    PIXEL_T value[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (uint byte = 0; byte < SIZE; byte++) {
        ulong bits = 0;
        for (uint plane = 0; plane < 8; plane++) bits |= (ulong)planes[(8 * byte + plane) * groups + group] << 8 * plane;
        bits = turned(bits);
        for (uint i = 0; i < 8; i++) value[i] |= (PIXEL_T)(bits >> 8 * i & 255) << 8 * PLACE(byte);
    }
    for (uint i = 0; i < 8; i++) to[8 * group + i] = value[i];
}

/* A pixel whose bytes are as they were. */
static inline void put_pixel(__global const uchar *bytes, __global PIXEL_T *to)
{
    PIXEL_T value = 0;
    for (uint byte = 0; byte < SIZE; byte++) value |= (PIXEL_T)bytes[byte] << 8 * PLACE(byte);
    *to = value;
}

__kernel __attribute__((reqd_work_group_size(LOCAL_SIZE, 1, 1)))
void unpack_bslz4(__global const uchar *packed,
                  const uint size,
                  __global const uint *starts,
                  const uint blocks,
                  const uint block,
                  const uint pixels,
                  __global PIXEL_T *frame,
                  __global uint *damaged)
{
    __local uchar bytes[BLOCK_BYTES];
    const uint number = get_group_id(0), me = get_local_id(0);
    __global const uint *place = starts + (size_t)get_group_id(1) * (blocks + 2) + number;
    __global PIXEL_T *to = frame + (size_t)get_group_id(1) * pixels;
    const uint start = place[0], stop = place[1], rest = pixels % 8;
    const ulong first = (ulong)number * block, end = pixels - rest;
    const uint n = first < end ? (uint)min((ulong)block, end - first) : 0;
    const int is_block = number < blocks;
    int good = start <= stop && stop <= size;
    if (is_block) good = good && stop - start > 4 && n > 0 && n % 8 == 0 && n <= BLOCK_BYTES / SIZE;
    else good = good && rest * SIZE <= stop - start;
    const int unpacked = unpack_lz4(packed + start + 4, good && is_block ? stop - start - 4 : 0, bytes, n * SIZE);
    if (is_block) {
        good = unpacked;
        for (uint group = me; good && group < n / 8; group += LOCAL_SIZE) put_group(bytes, group, n / 8, to + first);
    } else {
        for (uint i = me; good && i < rest; i += LOCAL_SIZE) put_pixel(packed + start + i * SIZE, to + pixels - rest + i);
    }
    if (!good && me == 0) atomic_inc(damaged + get_group_id(1));
}

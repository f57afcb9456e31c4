/** Undoes bitshuffle with LZ4, as it stands in a chunk of HDF5 (filter 32008) and in a message of a detector.
 *
 * Big-endian: 8 bytes length of the data, 4 bytes length of a block; for each block 4 bytes length of the packed block
 * and that block; elements that fill no group of eight stand as they are at the end. All lengths are checked. */

/** Bytes that are not what their head says. */
export class DamagedError extends Error {}

const HEAD = 12;
const LARGEST = 2 ** 31;

export type Values =
  | Uint8Array<ArrayBuffer> | Int8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

const SIZES: Record<string, number> = { u1: 1, i1: 1, u2: 2, i2: 2, u4: 4, i4: 4, f4: 4, u8: 8, i8: 8, f8: 8 };

/** Bytes of an element of a NumPy dtype such as "<u2". */
export function itemSize(dtype: string): number {
  const size = /^[<|]/.test(dtype) ? SIZES[dtype.slice(1)] : undefined;
  if (size === undefined) throw new DamagedError(`the pixels are ${dtype.slice(0, 20)}, expected little-endian numbers`);
  return size;
}

/** Pixels of a view. Integers of 8 bytes become float64: exact up to 2^53.
 *
 * `into`: memory of an earlier view that is not needed any more. */
export function unpackValues(packed: Uint8Array, dtype: string, count: number, into?: ArrayBuffer): Values {
  const size = itemSize(dtype);
  const bytes = unpackBslz4(packed, size, count, into);
  const { buffer } = bytes;
  switch (dtype.slice(1)) {
    case "u1": return bytes;
    case "i1": return new Int8Array(buffer, 0, count);
    case "u2": return new Uint16Array(buffer, 0, count);
    case "i2": return new Int16Array(buffer, 0, count);
    case "u4": return new Uint32Array(buffer, 0, count);
    case "i4": return new Int32Array(buffer, 0, count);
    case "f4": return new Float32Array(buffer, 0, count);
    case "f8": return new Float64Array(buffer, 0, count);
    default: return wide(buffer, count, dtype[1] === "i");
  }
}

/** Integers of 8 bytes as float64, in the same memory. */
function wide(buffer: ArrayBuffer, count: number, signed: boolean): Float64Array<ArrayBuffer> {
  const halves = new Uint32Array(buffer, 0, 2 * count), signs = new Int32Array(buffer, 0, 2 * count);
  const made = new Float64Array(buffer, 0, count);
  for (let at = 0; at < count; at += 1) {
    const low = halves[2 * at]!, high = signed ? signs[2 * at + 1]! : halves[2 * at + 1]!;
    made[at] = high * 4294967296 + low;
  }
  return made;
}

/** `count` elements of `size` bytes each. Throws DamagedError. */
export function unpackBslz4(packed: Uint8Array, size: number, count: number, into?: ArrayBuffer): Uint8Array<ArrayBuffer> {
  const total = size * count;
  if (!(total >= 0 && total < LARGEST)) throw new DamagedError(`${count} pixels of ${size} bytes are too many`);
  if (packed.length < HEAD) throw new DamagedError(`${packed.length} bytes are fewer than a head of ${HEAD}`);
  const numbers = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const told = numbers.getUint32(0) * 4294967296 + numbers.getUint32(4);
  if (told !== total) throw new DamagedError(`the head tells ${told} bytes, expected ${total}`);
  const block = numbers.getUint32(8);
  if (block === 0 || block % (8 * size) !== 0) throw new DamagedError(`blocks of ${block} bytes hold no groups of eight elements`);
  const out = into !== undefined && into.byteLength >= total ? new Uint8Array(into, 0, total) : new Uint8Array(new ArrayBuffer(padded(total)), 0, total);
  const tail = total % (8 * size);
  const shuffled = new Uint8Array(Math.min(block, total - tail));
  let at = HEAD;
  for (let start = 0; start < total - tail; start += block) {
    const length = Math.min(block, total - tail - start);
    if (at + 4 > packed.length) throw new DamagedError("the bytes end before the last block");
    const stored = numbers.getUint32(at);
    at += 4;
    if (stored > packed.length - at) throw new DamagedError("a block is longer than the bytes that follow");
    unpackLz4(packed, at, at + stored, shuffled, length);
    unshuffle(shuffled, length / size, size, out, start);
    at += stored;
  }
  if (packed.length - at !== tail) throw new DamagedError(`${packed.length - at} bytes at the end, expected ${tail}`);
  out.set(packed.subarray(at), total - tail);
  return out;
}

/** Bytes of memory that any typed array can be made of. */
function padded(total: number): number {
  return Math.max((total + 7) & ~7, 8);
}

/** A block of LZ4 (lz4_Block_format.md) of exactly `length` bytes. */
function unpackLz4(from: Uint8Array, start: number, end: number, out: Uint8Array, length: number): void {
  let at = start, made = 0;
  for (;;) {
    if (at >= end) throw new DamagedError("a packed block ends in the middle");
    const token = from[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (at >= end) throw new DamagedError("a packed block ends in a length");
        more = from[at++]!;
        literals += more;
      }
    }
    if (literals > end - at || literals > length - made) throw new DamagedError("a packed block holds more than it should");
    if (literals > 24) out.set(from.subarray(at, at + literals), made);
    else for (let each = 0; each < literals; each += 1) out[made + each] = from[at + each]!;
    at += literals;
    made += literals;
    if (at === end) break;
    if (at + 2 > end) throw new DamagedError("a packed block ends in an offset");
    const offset = from[at]! | (from[at + 1]! << 8);
    at += 2;
    if (offset === 0 || offset > made) throw new DamagedError("a packed block points before its begin");
    let copied = (token & 15) + 4;
    if (copied === 19) {
      let more = 255;
      while (more === 255) {
        if (at >= end) throw new DamagedError("a packed block ends in a length");
        more = from[at++]!;
        copied += more;
      }
    }
    if (copied > length - made) throw new DamagedError("a packed block holds more than it should");
    if (offset === 1) out.fill(out[made - 1]!, made, made + copied);
    else if (offset >= copied && copied > 24) out.copyWithin(made, made - offset, made - offset + copied);
    else for (let each = 0; each < copied; each += 1) out[made + each] = out[made - offset + each]!;
    made += copied;
  }
  if (made !== length) throw new DamagedError(`a packed block holds ${made} bytes, expected ${length}`);
}

/** Bit k of byte b of all elements stands together: a row of `count` / 8 bytes. */
function unshuffle(from: Uint8Array, count: number, size: number, out: Uint8Array, start: number): void {
  const groups = count / 8;
  for (let byte = 0; byte < size; byte += 1) {
    const row = byte * count;
    for (let group = 0; group < groups; group += 1) {
      const at = row + group;
      let low = from[at]! | (from[at + groups]! << 8) | (from[at + 2 * groups]! << 16) | (from[at + 3 * groups]! << 24);
      let high = from[at + 4 * groups]! | (from[at + 5 * groups]! << 8) | (from[at + 6 * groups]! << 16) | (from[at + 7 * groups]! << 24);
      let to = start + 8 * group * size + byte;
      if ((low | high) === 0) {
        for (let each = 0; each < 8; each += 1, to += size) out[to] = 0;
        continue;
      }
      // an 8 x 8 matrix of bits is turned in three steps: H. S. Warren, Hacker's Delight, 7-3
      let swapped = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= swapped ^ (swapped << 7);
      swapped = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= swapped ^ (swapped << 7);
      swapped = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= swapped ^ (swapped << 14);
      swapped = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= swapped ^ (swapped << 14);
      const first = (low & 0x0f0f0f0f) | ((high & 0x0f0f0f0f) << 4);
      const second = ((low >>> 4) & 0x0f0f0f0f) | (high & 0xf0f0f0f0);
      out[to] = first;
      out[(to += size)] = first >>> 8;
      out[(to += size)] = first >>> 16;
      out[(to += size)] = first >>> 24;
      out[(to += size)] = second;
      out[(to += size)] = second >>> 8;
      out[(to += size)] = second >>> 16;
      out[(to += size)] = second >>> 24;
    }
  }
}

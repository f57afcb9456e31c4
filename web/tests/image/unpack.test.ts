import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DamagedError, itemSize, unpackBslz4, unpackValues } from "../../src/image/unpack.ts";

interface Vector {
  dtype: string;
  shape: [number, number];
  packed: string;
  bytes: string;
}

// made by bitshuffle's own code: make_data.py
const vectors = JSON.parse(readFileSync("tests/image/data/packed.json", "utf8")) as Vector[];
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

test("what bitshuffle packed comes back, of all element sizes, with tails", () => {
  for (const { dtype, shape, packed, bytes: plain } of vectors) {
    const count = shape[0] * shape[1];
    assert.deepEqual(unpackBslz4(bytes(packed), itemSize(dtype), count), bytes(plain), dtype);
  }
});

test("memory of an earlier view is used again, whatever was in it", () => {
  const memory = new ArrayBuffer(100_000);
  new Uint8Array(memory).fill(0xa5);
  for (const { dtype, shape, packed, bytes: plain } of vectors) {
    const made = unpackBslz4(bytes(packed), itemSize(dtype), shape[0] * shape[1], memory);
    assert.equal(made.buffer, memory);
    assert.deepEqual(new Uint8Array(made), bytes(plain));
  }
});

test("numbers are those of their dtype; integers of 8 bytes become float64", () => {
  for (const { dtype, shape, packed, bytes: plain } of vectors) {
    const made = unpackValues(bytes(packed), dtype, shape[0] * shape[1]);
    const raw = Buffer.from(plain, "base64");
    const size = itemSize(dtype);
    for (let at = 0; at < made.length; at += 1) {
      const expected = {
        u1: () => raw.readUInt8(at), i1: () => raw.readInt8(at), u2: () => raw.readUInt16LE(at * size), i2: () => raw.readInt16LE(at * size),
        u4: () => raw.readUInt32LE(at * size), i4: () => raw.readInt32LE(at * size), f4: () => raw.readFloatLE(at * size),
        f8: () => raw.readDoubleLE(at * size), u8: () => Number(raw.readBigUInt64LE(at * size)), i8: () => Number(raw.readBigInt64LE(at * size)),
      }[dtype.slice(1)]!();
      assert.ok(Object.is(made[at], expected) || (Number.isNaN(made[at]) && Number.isNaN(expected)), `${dtype} ${at}: ${made[at]} is not ${expected}`);
    }
  }
});

test("other lengths than those of the head are refused", () => {
  const { packed, shape } = vectors.find((each) => each.dtype === "<u2" && each.shape[0] === 37)!;
  const plain = bytes(packed);
  const count = shape[0] * shape[1];
  assert.throws(() => unpackBslz4(plain, 2, count + 1), DamagedError);
  assert.throws(() => unpackBslz4(plain, 4, count), DamagedError);
  assert.throws(() => unpackBslz4(new Uint8Array(5), 2, count), DamagedError);
  assert.throws(() => unpackBslz4(plain, 2, 2 ** 40), DamagedError);
  for (let length = 0; length < plain.length; length += 1) {
    assert.throws(() => unpackBslz4(plain.subarray(0, length), 2, count), DamagedError, `${length} bytes`);
  }
  const longer = new Uint8Array(plain.length + 1);
  longer.set(plain);
  assert.throws(() => unpackBslz4(longer, 2, count), DamagedError);
  for (const block of [0, 1, 8, 24]) {
    const other = plain.slice();
    new DataView(other.buffer).setUint32(8, block);
    assert.throws(() => unpackBslz4(other, 2, count), DamagedError, `blocks of ${block}`);
  }
  assert.throws(() => itemSize(">u2"), DamagedError);
  assert.throws(() => itemSize("<c8"), DamagedError);
});

test("damaged bytes are an error or other pixels, and nothing is written beside them", () => {
  let state = 1;
  const random = (end: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * end);
  };
  let errors = 0;
  for (let round = 0; round < 4000; round += 1) {
    const { dtype, shape, packed } = vectors[random(vectors.length)]!;
    const plain = bytes(packed);
    for (let each = 0; each <= random(4); each += 1) plain[random(plain.length)] = random(256);
    const size = itemSize(dtype), total = size * shape[0] * shape[1];
    const memory = new ArrayBuffer(total + 64);
    new Uint8Array(memory).fill(0x5a);
    // a read outside would see bytes that are not of the message
    try {
      const made = unpackBslz4(plain, size, total / size, memory);
      assert.equal(made.length, total);
    } catch (error) {
      assert.ok(error instanceof DamagedError, String(error));
      errors += 1;
    }
    assert.ok(new Uint8Array(memory, total).every((byte) => byte === 0x5a));
  }
  assert.ok(errors > 1000, `${errors} errors`);
});

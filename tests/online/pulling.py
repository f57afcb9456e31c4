"""A program that pulls a detector's messages, and reads them with cbor2 and the codecs of HDF5's filters."""

from __future__ import annotations

import struct

import cbor2
import imagecodecs
import numpy as np
import zmq

DTYPES = {64: "u1", 69: "<u2", 70: "<u4", 72: "i1", 77: "<i2", 78: "<i4"}


def unpacked(algorithm, size, data):
    """Bytes of [algorithm, element size, data]."""
    total, block = struct.unpack_from(">QI", data)
    if algorithm == "bslz4":
        array = imagecodecs.bitshuffle_decode  # of single blocks
        out, place, left = b"", 12, total
        per = block // size
        while left >= 8 * size:
            elements = min(per, left // size // 8 * 8)
            (length,) = struct.unpack_from(">I", data, place)
            raw = imagecodecs.lz4_decode(data[place + 4 : place + 4 + length], out=elements * size)
            out += bytes(array(bytes(raw), itemsize=size, blocksize=elements))
            place, left = place + 4 + length, left - elements * size
        return out + data[place:]
    (length,) = struct.unpack_from(">I", data, 12)
    assert len(data) == 16 + length
    return data[16:] if length == total else bytes(imagecodecs.lz4_decode(data[16:], out=total))


def _hook(*arguments):
    tag = next(a for a in arguments if isinstance(a, cbor2.CBORTag))
    if tag.tag == 56500:
        return unpacked(*tag.value)
    if tag.tag in DTYPES:
        return np.frombuffer(tag.value, DTYPES[tag.tag])
    return np.asarray(tag.value[1]).reshape(tuple(tag.value[0])) if tag.tag == 40 else tag


def read(parts):
    """A message as cbor2 has it."""
    assert len(parts) == 1
    return cbor2.loads(parts[0], tag_hook=_hook)


class Puller:
    """Pulls from addresses until nothing comes."""

    def __init__(self, *addresses, queue=1000):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        for address in addresses:
            self._socket.connect(address)

    def next(self, seconds=30.0):
        """The parts of a message; None = nothing came."""
        if not self._socket.poll(int(1000 * seconds)):
            return None
        return self._socket.recv_multipart()

    def all(self, ends=1, quiet=0.3):
        """Messages to the last of so many ends, and what comes within `quiet` seconds after."""
        messages = []
        while True:
            parts = self.next(30.0 if ends > 0 else quiet)
            if parts is None:
                return messages
            messages.append(parts)
            ends -= b"cend" in parts[0][:14] or b"dseries_end" in parts[0][:30]

    def close(self):
        """Close."""
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

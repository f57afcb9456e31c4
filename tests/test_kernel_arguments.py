"""Arguments of kernels by name, checked against the signature that the source has."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.engine import engine as engine_module
from crystint.engine.kernel import Kernel, parameters_of
from crystint.errors import DeviceError, KernelArgumentError

SOURCE = """
/* __kernel void scaled(__global const int *comment) is no signature */
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void scaled(__global const PIXEL_T *restrict frame, // raw
            __global const float2 *pair /* (a, b) */,
            const int n,
            const uchar stride, const float factor,
            __global float *sums)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i += stride) sum += factor * frame[i];
    sums[0] = sum + pair[0].x + pair[0].y;
}
"""


@pytest.fixture
def scaled(engine, monkeypatch):
    """An engine, and what the kernel takes."""
    monkeypatch.setattr(engine_module, "read_kernel", lambda name: SOURCE)
    engine = Engine(engine.device)
    buffers = {
        "frame": engine.send(np.arange(6, dtype=np.uint16)),
        "pair": engine.send(np.array([0.25, 0.5], np.float32)),
        "sums": engine.empty(1, np.float32),
    }
    return engine, engine.kernel("scaled.cl", PIXEL_T="ushort"), {**buffers, "n": 6, "stride": 1, "factor": 2.0}


def result(engine, arguments):
    return float(engine.receive(arguments["sums"], 1)[0])


def test_arguments_go_where_their_names_say(scaled):
    engine, kernel, arguments = scaled
    for order in (arguments, dict(reversed(arguments.items()))):
        engine.launch(kernel, 1, 1, **order)
        assert result(engine, arguments) == 30.75
    engine.launch(kernel, 1, 1, **{**arguments, "stride": np.uint8(2), "n": np.int64(4), "factor": np.float64(1.0)})
    assert result(engine, arguments) == 2.75


def test_what_is_not_given_is_taken_from_the_first_source_that_has_it(scaled):
    engine, kernel, arguments = scaled
    first = SimpleNamespace(frame=arguments["frame"], factor=1.0, unused=3)
    second = SimpleNamespace(factor=5.0, sums=arguments["sums"], n=6)
    engine.launch(kernel, 1, 1, first, second, pair=arguments["pair"], stride=1)
    assert result(engine, arguments) == 15.75
    engine.launch(kernel, 1, 1, first, second, pair=arguments["pair"], stride=1, factor=2.0)
    assert result(engine, arguments) == 30.75


class Size:
    """A source of one argument."""

    n = 6


class Factor:
    """A source of another one, and of one that others have, too."""

    n, factor = 1, 3.0


def test_sources_of_other_types_are_looked_at_anew(scaled):
    engine, kernel, arguments = scaled
    rest = {name: arguments[name] for name in ("frame", "pair", "sums", "stride")}
    engine.launch(kernel, 1, 1, Size(), Factor(), **rest)
    assert result(engine, arguments) == 45.75
    engine.launch(kernel, 1, 1, Factor(), Size(), **rest)
    assert result(engine, arguments) == 0.75
    engine.launch(kernel, 1, 1, Factor(), Factor(), **rest)
    engine.launch(kernel, 1, 1, Size(), Factor(), **rest)
    assert result(engine, arguments) == 45.75
    engine.launch(kernel, 1, 1, object(), Factor(), **rest)
    assert result(engine, arguments) == 0.75
    engine.launch(kernel, 1, 1, Size(), Factor(), **rest)
    assert result(engine, arguments) == 45.75


def test_sources_of_one_type_may_have_other_attributes(scaled):
    engine, kernel, arguments = scaled
    rest = {name: arguments[name] for name in ("frame", "pair", "sums", "stride")}
    engine.launch(kernel, 1, 1, SimpleNamespace(n=6), SimpleNamespace(factor=1.0), **rest)
    engine.launch(kernel, 1, 1, SimpleNamespace(factor=3.0), SimpleNamespace(n=6), **rest)
    assert result(engine, arguments) == 45.75
    with pytest.raises(KernelArgumentError, match="missing n;"):
        engine.launch(kernel, 1, 1, SimpleNamespace(factor=3.0), SimpleNamespace(m=6), **rest)


def test_parameters_that_the_compiler_does_not_count_are_refused(scaled):
    _, kernel, _ = scaled
    with pytest.raises(DeviceError, match="kernel scaled has 6 parameters, 5 were read"):
        Kernel(kernel.handle, kernel.parameters[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": "sums"}, r"kernel scaled, argument frame: expected a buffer of uint16 \(ushort \*\), got .*float32"),
        ({"pair": "frame"}, r"argument pair: expected a buffer of float32 \(float2 \*\), got one of uint16"),
        ({"sums": 3}, r"argument sums: expected a buffer of float32 \(float \*\), got 3"),
        ({"sums": np.float32(3)}, r"argument sums: expected a buffer of float32 \(float \*\), got np.float32"),
        ({"sums": None}, r"argument sums: expected a buffer of float32 \(float \*\), got None"),
        ({"n": "sums"}, r"argument n: expected a value \(int\), got a buffer of float32"),
        ({"factor": "sums"}, r"argument factor: expected a value \(float\), got a buffer of float32"),
        ({"n": 2.5}, r"argument n: expected a whole number \(int\), got 2.5"),
        ({"n": 2**31}, r"argument n: expected a whole number from -2147483648 to 2147483647 \(int\), got 2147483648"),
        ({"stride": -1}, r"argument stride: expected a whole number from 0 to 255 \(uchar\), got -1"),
        ({"stride": 300}, r"argument stride: expected a whole number from 0 to 255 \(uchar\), got 300"),
        ({"factor": "wide"}, r"argument factor: expected a number \(float\), got 'wide'"),
    ],
)
def test_an_argument_of_another_type_is_named(scaled, change, message):
    engine, kernel, arguments = scaled
    engine.launch(kernel, 1, 1, **arguments)
    wrong = {**arguments, **{name: arguments.get(value, value) if isinstance(value, str) else value
                             for name, value in change.items()}}  # fmt: skip
    for _ in range(2):
        with pytest.raises(KernelArgumentError, match=message):
            engine.launch(kernel, 1, 1, **wrong)
    engine.launch(kernel, 1, 1, **arguments)
    assert result(engine, arguments) == 30.75


def test_swapped_buffers_are_refused(scaled):
    engine, kernel, arguments = scaled
    swapped = {**arguments, "frame": arguments["pair"], "pair": arguments["frame"]}
    with pytest.raises(KernelArgumentError, match="argument frame"):
        engine.launch(kernel, 1, 1, **swapped)
    with pytest.raises(TypeError, match="argument frame"):
        engine.launch(kernel, 1, 1, SimpleNamespace(**swapped))


def test_the_same_memory_may_hold_another_type(scaled):
    engine, kernel, arguments = scaled
    words = engine.send(np.arange(6, dtype=np.uint16).view(np.uint32))
    with pytest.raises(KernelArgumentError, match="uint32"):
        engine.launch(kernel, 1, 1, **{**arguments, "frame": words})
    engine.launch(kernel, 1, 1, **{**arguments, "frame": words.viewed(np.uint16)})
    assert result(engine, arguments) == 30.75


def test_missing_and_unknown_arguments_are_listed(scaled):
    engine, kernel, arguments = scaled
    del arguments["pair"], arguments["n"]
    with pytest.raises(
        KernelArgumentError, match=r"kernel scaled, arguments: missing pair, n; expected frame, pair, n"
    ):
        engine.launch(kernel, 1, 1, **arguments)
    arguments |= {"pairs": arguments["frame"], "n": 3}
    with pytest.raises(KernelArgumentError, match="missing pair; unknown pairs"):
        engine.launch(kernel, 1, 1, **arguments)
    with pytest.raises(KernelArgumentError, match="unknown more"):
        engine.launch(kernel, 1, 1, SimpleNamespace(pair=arguments.pop("pairs")), **arguments, more=1)


def test_a_kernel_of_another_type_has_another_signature(scaled):
    engine, _, arguments = scaled
    with pytest.raises(KernelArgumentError, match=r"expected a buffer of int32 \(int \*\), got one of uint16"):
        engine.launch(engine.kernel("scaled.cl", PIXEL_T="int"), 1, 1, **arguments)


def test_names_and_types_are_those_that_the_compiler_reads(engine):
    import pyopencl as cl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some compilers always have something to say
        program = cl.Program(engine.context, SOURCE).build(["-DPIXEL_T=ushort", "-cl-kernel-arg-info"])
    kernel, info = cl.Kernel(program, "scaled"), cl.kernel_arg_info
    parameters = parameters_of(SOURCE, "scaled", {"PIXEL_T": "ushort"})
    assert kernel.num_args == len(parameters) == 6
    try:
        read = [(kernel.get_arg_info(i, info.NAME), kernel.get_arg_info(i, info.TYPE_NAME)) for i in range(6)]
    except cl.Error:
        pytest.skip("this platform does not tell")
    assert [(one.name, one.type.replace(" ", "")) for one in parameters] == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__kernel void other(int a) {}", "no '__kernel void scaled"),
        ("void scaled(int a) {}", "no '__kernel void scaled"),
        ("__kernel void scaled(const REAL a) {}", "parameter 'const REAL a'"),
        ("__kernel void scaled(const float4 a) {}", "parameter 'const float4 a'"),
        ("__kernel void scaled(__local float *a) {}", r"parameter '__local float \*a'"),
        ("__kernel void scaled(__global float **a) {}", r"parameter '__global float \*\*a'"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused(text, message):
    with pytest.raises(DeviceError, match=message):
        parameters_of(text, "scaled", {"PIXEL_T": "ushort"})


@pytest.mark.parametrize("text", ["__kernel void scaled() {}", "kernel void scaled ( void ) {}"])
def test_a_kernel_may_take_nothing(text):
    assert parameters_of(text, "scaled", {}) == ()

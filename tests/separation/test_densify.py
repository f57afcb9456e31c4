"""Back from sparse frames: exact where picked, Poisson elsewhere, nothing invented."""

from __future__ import annotations

import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyopencl as cl
import pytest
from scipy.stats import chisquare, kstest, norm, poisson

from crystint.engine import Engine, devices
from crystint.engine.source import read_kernel
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.model.geometry import Geometry
from crystint.model.rings import interpolate
from crystint.ops.densify import Densifier, densify
from crystint.ops.densify_floor import settled_afterwards
from crystint.ops.poisson_tables import normal_knots, poisson_laws, table_defines
from crystint.ops.separator import Separator
from crystint.ops.threshold import ring_table, thresholds
from tests.oracles.densify import drawn, mixed, modulated, philox, pixel_bits

SHAPE = (600, 620)


def separator_for(engine, dtype=np.uint16, **more):
    geometry = Geometry(
        shape=SHAPE, pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(290, 320), wavelength=1.0, polarization=0.9
    )
    return Separator(geometry, rings=more.pop("rings", 40), engine=engine, **more)


PIXELS = {"PIXEL_T": "int", "PIXEL_KIND": 1, "PIXEL_WIDE": 1, "NEGATIVE": 0, "HAS_DARK": 0, "LOCAL_SIZE": 1}


def on_device(engine, lanes, statement, out, **arguments):
    """Run a statement of a test kernel over random.h for each part of each block, with pixel numbers and `bits`."""
    names = {np.uint32: "uint", np.float32: "float", np.dtype(np.uint32): "uint", np.dtype(np.float32): "float"}
    buffers = {name: one for name, one in arguments.items() if not isinstance(one, np.number)}
    parameters = [
        f"__global const {names[one.dtype]} *{name}" if name in buffers else f"const {names[type(one)]} {name}"
        for name, one in arguments.items()
    ]
    text = f"""
    __kernel void test({", ".join([*parameters, f"__global {names[out.dtype]} *out"])}) {{
        const uint block = get_global_id(0) * BLOCK;
        uints all_bits[PARTS];
        block_bits(block, 0, 0, 12345, all_bits);
        for (int part = 0; part < PARTS; part++) {{
            const uint first = block + part * LANES;
            const uints bits = all_bits[part];
            {statement}
        }}
    }}"""
    defines = {"LANES": lanes, **PIXELS, **table_defines()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some compilers always have something to say
        program = cl.Program(engine.context, read_kernel("random.h") + text)
        program = program.build([f"-D{name}={value}" for name, value in defines.items()])
    buffer = engine.empty(out.size, out.dtype)
    kernel = cl.Kernel(program, "test")
    size = out.size // (32 if lanes > 1 else 1)
    kernel(engine.queue, (size,), None, *(getattr(one, "handle", one) for one in arguments.values()), buffer.handle)
    return engine.receive(buffer, out.size)


def test_philox_is_philox():
    """Known answers of the authors' test file."""
    ones = 0xFFFFFFFF
    assert philox((0, 0, 0, 0), (0, 0), 10) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((ones,) * 4, (ones,) * 2, 10) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert philox((0, 0, 0, 0), (0, 0), 7) == (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)


@pytest.mark.parametrize("lanes", [1, 8])
def test_the_bits_of_a_pixel(engine, lanes):
    """Of whole blocks, with other frames, trials and seeds; and of blocks that begin anywhere."""
    some = """
    uints these[PARTS];
    {call};
    *(__global loose_uints *)(out + first) = these[part];"""
    statement = some.format(call="block_bits(7936 * block, 3 * block, block >> 5, 0xFEDCBA9876543210ul ^ block, these)")
    typedef = "typedef uints __attribute__((aligned(4))) loose_uints;\n    "
    bits = on_device(engine, lanes, typedef + statement, np.empty(640, np.uint32))
    for i in range(640):
        block = i // 32 * 32 if lanes > 1 else i
        pixel = 7936 * block + i - block
        assert bits[i] == pixel_bits(pixel, 3 * block, block >> 5, 0xFEDCBA9876543210 ^ block)
    statement = some.format(call="loose_bits(block + 45, 2, 1, 7, these)")
    bits = on_device(engine, lanes, typedef + statement, np.empty(640, np.uint32))
    assert bits.tolist() == [pixel_bits(i + 45, 2, 1, 7) for i in range(640)]


def law(row):
    """Probabilities that a row of buckets gives."""
    share = (row >> 16) / 65536 / 64
    return np.bincount(row & 255, share, 256) + np.bincount(row >> 8 & 255, 1 / 64 - share, 256)


def test_the_table_of_laws_is_poissons():
    laws = poisson_laws().reshape(-1, 64)
    first, last = (int(np.float32(x).view(np.uint32)) >> 17 for x in (0.25, 36.0))
    assert len(laws) == last - first + 2  # one more for the upper neighbour of the last
    for number, row in enumerate(laws):
        mean = float(np.uint32(first + number << 17).view(np.float32)) - 0.25
        counts = np.arange(256)
        assert np.abs(law(row) - poisson.pmf(counts, mean)).max() < 1e-6
        assert law(row) @ counts == pytest.approx(mean, abs=5e-6)


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("mean", [0.0003, 0.02, 0.5, 3.0, 17.0, 35.7, 36.2, 200.0])
def test_poisson_numbers_are_poisson(engine, mean, lanes):
    statement = """
    const floats means = mean;
    FLOATS(__global, out, first) = mean <= POISSON_MOST ? poisson_from_table(means, bits, laws)
                                                        : poisson_of_many(means, bits, knots);"""
    tables = {"laws": engine.send(poisson_laws()), "knots": engine.send(normal_knots())}
    drawn = on_device(engine, lanes, statement, np.empty(400_000, np.float32), mean=np.float32(mean), **tables)
    counts = np.bincount(drawn.astype(int))
    k = np.arange(len(counts))
    wanted = poisson.pmf(k, mean) * drawn.size
    some = wanted > 20
    observed = np.append(counts[some], drawn.size - counts[some].sum())
    wanted = np.append(wanted[some], drawn.size - wanted[some].sum())
    if wanted[-1] < 5:
        observed, wanted = observed[:-1], wanted[:-1] * observed[:-1].sum() / wanted[:-1].sum()
    assert chisquare(observed, wanted).pvalue > 1e-5


@pytest.mark.parametrize("lanes", [1, 8])
def test_normal_numbers_are_normal(engine, lanes):
    statement = "FLOATS(__global, out, first) = normal_numbers(bits, knots);"
    drawn = on_device(engine, lanes, statement, np.empty(1_000_000, np.float32), knots=engine.send(normal_knots()))
    assert kstest(drawn, "norm").pvalue > 1e-4
    assert drawn.var() == pytest.approx(1.0, abs=0.006)
    for limit in (3.0, 3.7, 4.2):
        for tail in (drawn > limit, drawn < -limit):
            wanted = norm.sf(limit) * drawn.size
            assert tail.sum() == pytest.approx(wanted, abs=5 * np.sqrt(wanted) + 0.1 * wanted)


@pytest.mark.parametrize(("expected", "excess"), [(4.0, 0.4), (4.0, 5.0), (4.0, 30.0), (0.05, 0.01), (300.0, 2000.0)])
@pytest.mark.parametrize("lanes", [1, 8])
def test_modulated_means_have_their_mean_and_variance(engine, expected, excess, lanes):
    statement = "FLOATS(__global, out, first) = modulated((floats)expected, (floats)excess, more_bits(bits));"
    numbers = {"expected": np.float32(expected), "excess": np.float32(excess)}
    means = on_device(engine, lanes, statement, np.empty(1_000_000, np.float32), **numbers)
    assert means.min() >= 0
    assert means.mean() == pytest.approx(expected, abs=5e-3 * np.sqrt(excess))
    assert means.var() == pytest.approx(excess, rel=0.02)
    for i in range(0, 1000, 13):
        wanted = modulated(expected, excess, mixed(pixel_bits(i, 0, 0, 12345)))
        assert means[i] == pytest.approx(wanted, abs=3e-3 * (expected + np.sqrt(3 * excess)))


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize(("mean", "wide"), [(0.5, False), (3.0, False), (15.0, False), (2.0, True)])
def test_the_kernel_draws_what_the_oracle_draws(engine, rng, monkeypatch, mean, wide, on_cpu):
    """Pixel for pixel, up to the rounding of the mean; in the form for CPUs and in that for GPUs."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: on_cpu))
    engine = Engine(engine.device)
    separator = separator_for(engine, rings=30)
    spread = rng.exponential(1.0, SHAPE) if wide else rng.uniform(0.8, 1.2, SHAPE)
    frame = rng.poisson(1.3 * mean * separator.rings.weight * spread).astype(np.int32)
    sparse = separator.sparsify(frame, number=7)
    back = densify(sparse, seed=2**40 + 5, engine=engine).ravel()
    position, weight = separator.rings.position.ravel(), separator.rings.weight.ravel().astype(float)
    background = sparse.background
    expected = interpolate(background.mean, position) * weight
    excess = (background.excess[np.floor(position + 0.5).clip(0, 29).astype(int)] - 1.0) * expected
    assert (3 * excess > expected**2).all() == wide
    limit = thresholds(background, position, weight, 2.0)
    laws = poisson_laws().reshape(-1, 64)
    picked = set(sparse.index.tolist())
    pixels = [i for i in [*range(3000), *range(371_000, 372_000)] if i not in picked]
    wanted = []
    for i in pixels:
        bits = pixel_bits(i, 7, 0, 2**40 + 5)
        wanted.append(drawn(modulated(expected[i], excess[i], mixed(bits)), bits, laws))
    wanted = np.array(wanted)
    below = wanted <= limit[pixels]
    assert below.mean() > 0.9
    assert np.mean(back[pixels][below] != wanted[below]) < 2e-3


def test_devices_draw_the_same_frame(rng):
    """Up to the rounding of means that lie where the counts change."""
    engines = [Engine(device) for device in devices()]
    separator = separator_for(engines[0], rings=100)
    sparse = separator.sparsify(rng.poisson(3.0 * rng.uniform(0.8, 1.2, SHAPE)).astype(np.uint16), number=3)
    first, *others = (densify(sparse, seed=11, engine=engine) for engine in engines)
    for other in others:
        assert np.mean(first != other) < 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 31), (4, 8), (7, 9), (1, 16417)])
@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float32])
def test_frames_of_any_size(engine, shape, dtype):
    """Less than a block, one block, and last blocks that begin in others, also in those of another work-item."""
    geometry = Geometry(shape, (1e-4, 1e-4), 5.0, (0.5, 0.5), 1.0)
    separator = Separator(geometry, rings=1, engine=engine)
    sparse = separator.sparsify(np.full(shape, 4, dtype), number=7)
    position, weight = separator.rings.position.ravel(), separator.rings.weight.ravel()
    expected = interpolate(sparse.background.mean, position) * weight
    room = engine.new_array((np.prod(shape) + 40,), dtype)
    room[:] = 77
    clean = densify(sparse, noise=False, engine=engine, out=room[:-40].reshape(shape)).ravel()
    assert (room[-40:] == 77).all()
    np.testing.assert_allclose(clean, expected if dtype == np.float32 else np.round(expected), rtol=1e-5)
    few = sparse.background.count[0] < 64
    laws = poisson_laws().reshape(-1, 64)
    bits = [pixel_bits(i, 7, 0, 3) for i in range(clean.size)]
    wanted = np.array([drawn(mean, one, laws) for mean, one in zip(expected, bits, strict=True)])
    noisy = densify(sparse, seed=3, engine=engine).ravel()
    below = wanted < thresholds(sparse.background, position, weight, 2.0)
    if not few and dtype != np.float32:
        assert np.mean(noisy[below] != wanted[below]) < 2e-3
    assert np.isfinite(noisy).all()


def test_neighbours_frames_and_seeds_are_independent(engine, rng):
    separator = separator_for(engine, rings=10)
    frame = rng.poisson(3.0, SHAPE).astype(np.int32)
    first, second = separator.sparsify(frame, number=4), separator.sparsify(frame, number=5)
    densifier = Densifier(engine, separator.rings)
    runs = ((first, 1), (second, 1), (first, 2))
    a, b, c = (densifier.run(sparse, seed=seed) - sparse.background.image() for sparse, seed in runs)
    good = np.ones(SHAPE, bool)
    good.ravel()[first.index] = good.ravel()[second.index] = False

    def correlation(x, y, use):
        return abs(np.corrcoef(x[use], y[use])[0, 1]) * np.sqrt(use.sum())

    assert correlation(a, b, good) < 4.5
    assert correlation(a, c, good) < 4.5
    for shift in (1, 2, 3, 4, 8, 16, 24, 32, 64):
        for axis in (0, 1):
            assert correlation(a, np.roll(a, shift, axis), good & np.roll(good, shift, axis)) < 4.5


def test_threads_share_a_densifier(engine, rng):
    separator = separator_for(engine)
    frames = [rng.poisson(mean, SHAPE).astype(np.uint16) for mean in (0.05, 3.0)]
    sparse = [separator.sparsify(frame, number=number) for number, frame in enumerate(4 * frames)]
    densifier = Densifier(engine, separator.rings)
    alone = [densifier.run(one) for one in sparse]
    with ThreadPoolExecutor(4) as pool:
        for together, one in zip(pool.map(densifier.run, sparse), alone, strict=True):
            assert np.array_equal(together, one)


def test_an_array_to_write_to(engine, rng):
    separator = separator_for(engine)
    sparse = separator.sparsify(rng.poisson(3.0, SHAPE).astype(np.uint16))
    densifier = Densifier(engine, separator.rings)
    out = np.full(SHAPE, 9, np.uint16)
    assert densifier.run(sparse, out=out) is out
    assert np.array_equal(out, densifier.run(sparse))
    with pytest.raises(ShapeError, match="out is"):
        densifier.run(sparse, out=out.T)
    for wrong in (out.astype(np.int32), np.asfortranarray(out)):
        with pytest.raises(DTypeError, match="C-contiguous"):
            densifier.run(sparse, out=wrong)


@pytest.mark.parametrize("rings", [40, 300, 1000])
@pytest.mark.parametrize("mean", [0.6, 4.0, 100.0])
@pytest.mark.parametrize("model", ["poisson", "hybrid"])
def test_a_margin_makes_the_second_separation_needless(engine, rng, monkeypatch, rings, mean, model):
    monkeypatch.setattr(
        "crystint.ops.densify_floor.settled_afterwards", lambda found, *_: np.zeros(found.rings.rings, bool)
    )
    monkeypatch.setattr("crystint.ops.densify.InventedPixels", lambda *_: None)
    separator = separator_for(engine, rings=rings, error_model=model)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.int32)
    frame[::30, ::30] += 50
    sparse = separator.sparsify(frame)
    densifier = Densifier(engine, separator.rings)
    for seed in range(3):
        again = separator.sparsify(densifier.run(sparse, seed=seed))
        assert len(np.setdiff1d(again.index, sparse.index)) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
@pytest.mark.parametrize(("mean", "rings"), [(0.003, 40), (0.03, 40), (0.03, 200), (0.15, 100)])
def test_few_counts_need_no_second_separation(engine, rng, monkeypatch, mean, rings, dtype):
    monkeypatch.setattr("crystint.ops.densify_check.InventedPixels.lower", lambda *_: pytest.fail("it was separated"))
    mask = np.zeros(SHAPE, np.uint32)
    mask[20:24] = 1
    weight = np.linspace(0.2, 1.0, SHAPE[1], dtype=np.float32) * np.ones(SHAPE, np.float32)
    separator = separator_for(engine, mask=mask, rings=rings, flat=weight)
    frame = rng.poisson(mean * weight, SHAPE).astype(dtype)
    frame[::30, ::30] += 50
    frame[50:53] = np.iinfo(dtype).max if dtype == np.uint16 else -1
    sparse = separator.sparsify(frame, 3.0)
    densifier = Densifier(engine, separator.rings)
    for seed in range(4):
        dense = densifier.run(sparse, seed=seed)
        assert len(np.setdiff1d(separator.sparsify(dense, 3.0).index, sparse.index)) == 0
        assert (dense[50:53] == frame[50:53]).all()


def test_lowering_few_counts_is_needed(engine, rng, monkeypatch):
    """Without it, noise of a ring that comes back with a lower mean is picked."""
    monkeypatch.setattr("crystint.ops.densify_few.FewCounts.lower", lambda *_: None)
    separator = separator_for(engine, rings=200)
    found = 0
    for number in range(40):
        sparse = separator.sparsify(rng.poisson(0.004, SHAPE).astype(np.uint16), 3.0, number=number)
        again = separator.sparsify(densify(sparse, engine=engine), 3.0)
        found += len(np.setdiff1d(again.index, sparse.index))
    assert found > 0


def test_the_noise_of_a_frame_without_any_is_not_picked_either(engine):
    separator = separator_for(engine)
    sparse = separator.sparsify(np.full(SHAPE, 7, np.int32))
    assert len(separator.sparsify(densify(sparse, engine=engine)).index) == 0


def test_when_a_margin_does_no_harm(engine, rng):
    separator = separator_for(engine)

    def harmed(mean, k=3.0, model="hybrid", dtype=np.int32):
        """Share of the rings that are settled afterwards; None = the frame has to be separated."""
        separator = separator_for(engine, error_model=model)
        frame = rng.poisson(mean, SHAPE) + (0.3 * rng.standard_normal(SHAPE) if dtype == np.float32 else 0)
        background = separator.background(frame.astype(dtype))
        few = settled_afterwards(background, ring_table(background), k, np.dtype(dtype))
        return None if few is None else few.mean()

    assert harmed(4.0) == harmed(4.0, model="poisson") == 0
    assert harmed(0.05) > 0.9
    assert harmed(4.0, k=1.5) is harmed(0.05, k=1.5) is harmed(4.0, model="azimuthal") is None
    assert harmed(4.0, dtype=np.float32) is None
    assert separator.rings.rings == 40


def test_rings_of_a_few_pixels_hold_their_expected_counts(engine, rng):
    separator = separator_for(engine, rings=500)
    frame = rng.poisson(6.0, SHAPE).astype(np.int32)
    sparse = separator.sparsify(frame)
    assert settled_afterwards(sparse.background, ring_table(sparse.background), 3.0, np.dtype(np.int32)) is not None
    back = densify(sparse, engine=engine).ravel()
    position = separator.rings.position.ravel()
    few = sparse.background.count[np.floor(position + 0.5).astype(int).clip(0, 499)] < 64
    few[sparse.index] = False
    assert few.sum() > 20
    wanted = sparse.background.image().ravel()[few]
    off = np.abs(wanted - np.floor(wanted) - 0.5) < 1e-3
    assert np.array_equal(back[few][~off], np.round(wanted[~off]))


def test_a_dark_frame_does_not_lift_noise_above_the_threshold(engine, rng):
    dark = rng.uniform(0, 3, SHAPE)
    separator = separator_for(engine, dark=dark)
    sparse = separator.sparsify(rng.poisson(dark + 5.0).astype(np.uint16))
    again = separator.sparsify(densify(sparse, engine=engine))
    assert len(np.setdiff1d(again.index, sparse.index)) == 0


@pytest.mark.parametrize(
    ("mean", "model", "snr"),
    [(mean, model, 3.0) for mean in (0.03, 0.4, 2.0, 9.0, 35.0, 300.0) for model in ("poisson", "hybrid")]
    + [(35.0, "azimuthal", 3.0), (300.0, "azimuthal", 3.0)]  # its Gaussian rule cuts low counts elsewhere
    + [(35.0, "hybrid", 1.5), (300.0, "hybrid", 1.5)],
)
def test_the_background_comes_back_with_its_statistics(engine, rng, mean, model, snr):
    """Mean, variance and share of zeros within 2 % of the raw background."""
    separator = separator_for(engine, error_model=model)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    frame[::30, ::30] += 50 + int(10 * np.sqrt(mean))
    sparse = separator.sparsify(frame, snr=snr)
    back = densify(sparse, engine=engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    raw, new = frame.ravel()[rest].astype(float), back.ravel()[rest].astype(float)
    assert np.array_equal(back.ravel()[sparse.index], frame.ravel()[sparse.index])
    scale = 0.02 if mean > 0.1 else 0.04  # 11 000 photons: 1 % of statistics
    assert new.mean() == pytest.approx(raw.mean(), rel=scale)
    assert new.var() == pytest.approx(raw.var(), rel=scale)
    assert (new == 0).mean() == pytest.approx((raw == 0).mean(), rel=0.02, abs=2e-4)
    assert not np.array_equal(raw, new)


def test_overdispersed_rings_keep_their_variance(engine, rng):
    separator = separator_for(engine, rings=10)
    mean = 40 * (1 + 0.3 * rng.standard_normal(SHAPE)).clip(0.05)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    sparse = separator.sparsify(frame)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    raw, new = frame.ravel()[rest].astype(float), densify(sparse, engine=engine).ravel()[rest].astype(float)
    assert new.mean() == pytest.approx(raw.mean(), rel=0.02)
    assert new.var() == pytest.approx(raw.var(), rel=0.08)


@pytest.mark.parametrize("mean", [0.02, 0.4, 2.0, 9.0, 300.0])
@pytest.mark.parametrize("snr", [1.5, 3.0])
def test_nothing_is_invented(engine, rng, mean, snr):
    separator = separator_for(engine, rings=300)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    frame[::30, ::30] += 50
    sparse = separator.sparsify(frame, snr=snr)
    again = separator.sparsify(densify(sparse, engine=engine), snr=snr)
    assert len(np.setdiff1d(again.index, sparse.index)) == 0


def test_without_noise_it_is_the_expected_counts_rounded(engine, rng):
    dark = rng.uniform(0, 3, SHAPE)
    separator = separator_for(engine, dark=dark)
    frame = rng.poisson(dark + 7 * separator.rings.weight).astype(np.uint16)
    frame[100, 100] = 4000
    sparse = separator.sparsify(frame)
    back = densify(sparse, noise=False, engine=engine)
    wanted = sparse.background.image()
    wanted.ravel()[sparse.index] = sparse.value
    off = np.abs(wanted - np.floor(wanted) - 0.5) < 1e-3  # either neighbour is right there
    assert np.array_equal(back[~off], np.round(wanted[~off]).astype(np.uint16))


def test_without_noise_it_is_linear_between_ring_centres(engine, rng):
    """Also in the first half of the first ring and the last one of the last, of a steep background."""
    separator = separator_for(engine, rings=6)
    mean = 50 * np.exp(-separator.rings.position)
    sparse = separator.sparsify((mean + rng.standard_normal(SHAPE)).astype(np.float32), 50.0)
    back = densify(sparse, noise=False, engine=engine)
    rest = np.ones(back.size, bool)
    rest[sparse.index] = False
    np.testing.assert_allclose(back.ravel()[rest], sparse.background.image().ravel()[rest], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.float32])
def test_unusable_pixels_come_back_as_they_were(engine, rng, dtype):
    mask = rng.random(SHAPE) < 0.05
    separator = separator_for(engine, mask=mask)
    frame = rng.poisson(7, SHAPE).astype(dtype)
    bad = np.nan if frame.dtype.kind == "f" else -2 if frame.dtype.kind == "i" else np.iinfo(dtype).max
    marked = np.nan if frame.dtype.kind == "f" else -1 if frame.dtype.kind == "i" else bad
    lost = rng.random(SHAPE) < 0.05
    frame[lost] = bad
    back = densify(separator.sparsify(frame), engine=engine)
    assert back.dtype == frame.dtype
    np.testing.assert_array_equal(back[lost & ~mask], frame[lost & ~mask])
    np.testing.assert_array_equal(back[mask], np.full(mask.sum(), marked, dtype))
    rest = ~mask & ~lost
    assert np.isfinite(back[rest]).all()
    if frame.dtype.kind != "f":
        assert (back[rest] != bad).all()


def test_the_noise_is_that_of_its_seed_and_frame(engine, rng):
    separator = separator_for(engine)
    frame = rng.poisson(7, SHAPE).astype(np.uint16)
    first = separator.sparsify(frame, number=4)
    same = densify(first, seed=9, engine=engine)
    assert np.array_equal(same, densify(first, seed=9, engine=engine))
    assert not np.array_equal(same, densify(first, seed=10, engine=engine))
    assert not np.array_equal(same, densify(first, seed=9 + 2**32, engine=engine))
    assert not np.array_equal(same, densify(separator.sparsify(frame, number=5), seed=9, engine=engine))


def test_float_frames_get_their_read_out_noise_back(engine, rng):
    separator = separator_for(engine, rings=10)
    frame = (rng.poisson(2.0, SHAPE) + 0.7 * rng.standard_normal(SHAPE)).astype(np.float32)
    sparse = separator.sparsify(frame, snr=4.0)
    back = densify(sparse, engine=engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    outside = separator.rings.position.ravel() > 5
    for part in (rest & outside, rest & ~outside):
        assert back.ravel()[part].mean() == pytest.approx(frame.ravel()[part].mean(), rel=0.02)
        assert back.ravel()[part].var() == pytest.approx(frame.ravel()[part].var(), rel=0.04)


def test_no_ring_of_a_float_frame_turns_into_whole_numbers(engine, rng):
    """Rings of a few pixels, in which the read-out noise does not show."""
    separator = separator_for(engine, rings=2000)
    frame = (rng.poisson(1.3, SHAPE) + 0.3 * rng.standard_normal(SHAPE)).astype(np.float32)
    sparse = separator.sparsify(frame)
    back = densify(sparse, engine=engine).ravel()
    back[sparse.index] = 0.5
    assert np.mean(back == np.rint(back)) < 1e-4


def test_a_ring_without_background_is_marked(engine, rng):
    separator = separator_for(engine, rings=10)
    frame = rng.poisson(7, SHAPE).astype(np.int32)
    ring = np.floor(separator.rings.position + 0.5)
    frame[ring == 3] = -2
    sparse = separator.sparsify(frame)
    back = Densifier(engine, separator.rings).run(sparse)
    assert np.all(back[ring == 3] == -2)
    untold = dataclasses.replace(sparse, unusable_index=None, unusable_value=None)
    back = Densifier(engine, separator.rings).run(untold, noise=False)
    assert np.all(back[ring == 3] == -1)
    assert np.all(back[(ring == 2) | (ring == 4)] >= 0)


def test_bad_seeds_and_dtypes_are_refused(engine, rng):
    separator = separator_for(engine)
    sparse = separator.sparsify(rng.poisson(7, SHAPE).astype(np.uint16))
    for seed in (-1, 2**64, 1.5, True):
        with pytest.raises(SettingError, match="seed"):
            densify(sparse, seed=seed, engine=engine)
    with pytest.raises(DTypeError, match="int64"):
        densify(dataclasses.replace(sparse, dtype=np.dtype(np.int64)), engine=engine)

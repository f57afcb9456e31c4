"""Layers, sums of images, the laboratory and the views of them, beside slow loops and the separator."""

import threading

import numpy as np
import pytest

import crystint
from crystint.errors import RefusedError
from crystint.model.panels import Panel
from crystint.model.valid_values import ValidValues
from crystint.online.image_details import spot_explained
from crystint.online.image_views import ImageViews, ViewWish
from crystint.online.layers import Remembered
from crystint.online.views import levels_of, view_of
from tests.online.looking import SETTINGS, images_of
from tests.online.streams import GEOMETRY, frames_of
from tests.oracles.significance import between, threshold

MASK = np.zeros((150, 170), np.uint32)
MASK[20:40, 60:66] = 1
USER = np.zeros((150, 170), np.uint32)
USER[100:103, :] = 1


def views_of(frames, **more):
    return ImageViews(images_of(frames, **more))


def marked(frames, seed=3, mark=None):
    """Frames in which some pixels hold no measurement."""
    frames = frames.copy()
    lost = np.random.default_rng(seed).random(frames.shape) < 0.02
    frames[lost] = np.iinfo(frames.dtype).max if mark is None else mark
    return frames, lost


@pytest.fixture(scope="module")
def masked():
    frames, lost = marked(frames_of(count=2))
    valid = ValidValues(marks=(65535,))
    views = views_of(frames, user=USER, masks={"threshold_1": MASK}, valid=valid)
    separator = crystint.Separator(GEOMETRY, MASK | USER, 60, engine="cpu", valid=valid)
    return views, frames, lost, separator


def test_layers_are_what_the_separator_makes(masked):
    views, frames, lost, separator = masked
    bad = (MASK | USER) != 0
    for number, frame in enumerate(frames):
        held = views.images.frame(number)
        background = separator.background(frame)
        expected = background.image()
        shown = views.layers.shown(held, "background")
        assert shown.values == pytest.approx(expected, rel=1e-6, nan_ok=True)
        assert np.array_equal(shown.usable.unusable(shown.values), np.isnan(expected))
        left = views.layers.shown(held, "subtracted").values
        unusable = bad | lost[number]
        assert np.array_equal(np.isnan(left), unusable)
        assert left[~unusable] == pytest.approx((frame - expected)[~unusable], rel=1e-5, abs=1e-5)
        significance = views.layers.shown(held, "significance").values
        assert np.array_equal(np.isnan(significance), unusable)
        for snr in (3.0, 5.0):
            picked = np.zeros(frame.size, bool)
            picked[separator.sparsify(frame, snr=snr, background=background).index] = True
            picked &= ~unusable.ravel()
            clear = np.abs(significance.ravel() - snr) > 0.01
            assert np.array_equal(
                (significance.ravel() > snr)[clear & ~unusable.ravel()], picked[clear & ~unusable.ravel()]
            )


def test_a_dark_frame_is_added_again(tmp_path):
    dark = np.full(GEOMETRY.shape, 40.0, np.float32)
    dark[::2] = 55.0
    np.save(tmp_path / "dark.npy", dark)
    frames = frames_of(count=1)
    views = views_of(
        frames + dark.astype(np.uint16), settings=SETTINGS.model_copy(update={"dark": tmp_path / "dark.npy"})
    )
    held = views.images.frame(0)
    separator = crystint.Separator(GEOMETRY, None, 60, engine="cpu", dark=dark)
    background = separator.background(held.pixels)
    assert views.layers.shown(held, "background").values == pytest.approx(background.image(), rel=1e-6, nan_ok=True)
    assert np.nanmin(views.layers.shown(held, "background").values - dark) > 0.5
    strong = views.layers.shown(held, "significance").values > 5.0
    picked = np.zeros(strong.size, bool)
    picked[separator.sparsify(held.pixels, snr=5.0, background=background).index] = True
    assert (strong.ravel() != picked).sum() <= 2  # within rounding of the threshold
    spot = spot_explained(views, held, 0)
    at = tuple(spot["strongest"])
    assert 3.0 < spot["threshold"] - dark[at] < 60.0
    assert spot["row"]["maximum"] == held.pixels[at] > spot["threshold"]


def test_significance_is_the_inverse_of_the_threshold(masked):
    views, frames, _, separator = masked
    held = views.images.frame(0)
    significance = views.layers.shown(held, "significance").values
    background, position = separator.background(frames[0]), separator.rings.position
    expected = background.image()
    places = list(zip(*np.nonzero((significance > 1.0) & (significance < 8.0)), strict=True))
    for at in places[:: len(places) // 60]:
        counts = threshold(expected[at], between(background.excess, position[at]), float(significance[at]))
        assert counts == pytest.approx(frames[0][at], rel=1e-4)


def test_the_mask_tells_whose_it_is(masked):
    views, _, lost, _ = masked
    bits = views.layers.shown(views.images.frame(1), "mask").values
    assert bits.dtype == np.uint8
    assert np.array_equal(bits & 1 != 0, MASK != 0)
    assert np.array_equal(bits & 2 != 0, USER != 0)
    assert np.array_equal(bits & 4 != 0, lost[1])
    made = views.of(views.images.frame(1), ViewWish(size="17x15", layer="mask"))
    expected = [[np.bitwise_or.reduce(bits[s : s + 10, f : f + 10], axis=None) for f in range(0, 170, 10)]
                for s in range(0, 150, 10)]  # fmt: skip
    assert made.view.values.tolist() == expected
    assert made.about["bin"] == "any"


def test_no_background_without_a_geometry():
    views = views_of(frames_of(count=1), geometry=None)
    held = views.images.frame(0)
    assert views.of(held, ViewWish()).about["levels"]["max"] > 0
    assert views.layers.mask(held).max() == 0
    for layer in ("background", "significance", "subtracted"):
        with pytest.raises(RefusedError, match="the geometry is not known"):
            views.of(held, ViewWish(layer=layer))


def test_images_of_an_earlier_detector_have_no_user_mask():
    """What the control has is of the detector of now."""
    views = views_of(frames_of(count=1), user=np.full((60, 70), 256, np.uint32))
    held = views.images.frame(0)
    assert views.layers.mask(held).max() == 0
    assert views.of(held, ViewWish()).about["levels"]["max"] > 0
    assert views.images.analysis(held).geometry == GEOMETRY


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "i8"])
@pytest.mark.parametrize("how", ["sum", "max"])
def test_the_last_images_are_put_together(how, dtype):
    frames, lost = marked(frames_of(dtype, 12, seed=5), mark=None if dtype[0] == "u" else -1)
    lost[:, 3, 4] = True
    frames[:, 3, 4] = np.iinfo(dtype).max if dtype[0] == "u" else -1
    valid = ValidValues.of(dtype)
    views = views_of(frames, masks={"threshold_1": MASK}, valid=valid)
    for number, last in ((4, 5), (5, 5), (6, 5), (11, 5), (11, 100), (0, 3), (3, 2), (4, 2)):
        shown, numbers = views.shown(views.images.frame(number), ViewWish(last=last, of=how))
        first = max(number - last + 1, 0)
        assert numbers == list(range(first, number + 1))
        some, bad = frames[first : number + 1].astype(np.int64), lost[first : number + 1] | (MASK != 0)
        low = np.iinfo(np.int64).min
        expected = np.where(bad, 0 if how == "sum" else low, some)
        expected = expected.sum(0) if how == "sum" else expected.max(0)
        gone = bad.all(0)
        assert np.array_equal(shown.usable.unusable(shown.values), gone)
        assert np.array_equal(shown.values[~gone].astype(np.int64), expected[~gone]), (number, last)


def test_a_sum_of_the_largest_counts_does_not_overflow():
    frames = np.full((100, 8, 9), 65534, np.uint16)
    views = views_of(frames, geometry=None)
    made = views.of(views.images.frame(99), ViewWish(last=100, bin="sum", size="1x1"))
    assert made.view.values.tolist() == [[100 * 65534.0 * 72]]
    assert views.of(views.images.frame(99), ViewWish(last=100)).view.values.max() == 6553400
    frames = np.full((100, 8, 9), 2**32 - 2, np.uint32)
    views = views_of(frames, geometry=None)
    assert views.of(views.images.frame(99), ViewWish(last=100)).view.values.max() == 100 * (2.0**32 - 2)


def test_images_that_went_meanwhile_are_left_out_and_said():
    frames = frames_of(count=6)
    views = views_of(frames)
    source = views.images.frames
    held = source.held
    wish = ViewWish(last=4)
    assert views.of(views.images.frame(4), wish).about["images"] == [1, 2, 3, 4]
    del source.frames[1], source.frames[3]
    source.held = lambda series=None: (held()[0], [0, 1, 2, 3, 4, 5])
    about = views.of(views.images.frame(5), wish).about
    assert about["images"] == [2, 4, 5]
    shown, numbers = views.shown(views.images.frame(5), wish)
    assert np.array_equal(shown.values, frames[numbers].astype(np.uint32).sum(0))
    with pytest.raises(RefusedError, match="take last=1"):
        views.of(views.images.frame(5), ViewWish(last=4, layer="background"))
    with pytest.raises(RefusedError, match="expected 1 to 100"):
        views.shown(views.images.frame(5), ViewWish(last=101))


def panels_of(turn=0.0):
    """Two panels beside one another, with a gap between them, the second turned about the beam."""
    step, cos, sin = 1e-4, np.cos(turn), np.sin(turn)
    left = Panel((0, 30), (0, 20), (-3e-3, -1.5e-3, 0.1), (0.0, step, 0.0), (step, 0.0, 0.0))
    right = Panel(
        (0, 30), (20, 50), (0.5e-3, -1.5e-3, 0.1), (-step * sin, step * cos, 0.0), (step * cos, step * sin, 0.0)
    )
    return crystint.Geometry((30, 50), (step, step), 0.1, (15.0, 25.0), 1.0, panels=(left, right))


@pytest.mark.parametrize("turn", [0.0, 0.2])
def test_panels_stand_in_the_laboratory_where_they_are(turn):
    geometry = panels_of(turn)
    frames = np.random.default_rng(2).integers(0, 60000, (1, 30, 50)).astype(np.uint16)
    views = views_of(frames, geometry=geometry)
    frame = views.images.frame(0)
    made = views.of(frame, ViewWish(size="1000x1000", frame="laboratory"))
    about, image = made.about, made.view.values
    assert about["frame"] == "laboratory"
    plane = about["laboratory"]
    assert list(image.shape) == plane["shape"]
    hits, seen = 0, np.zeros(image.shape, bool)
    for slow in range(image.shape[0]):
        for fast in range(image.shape[1]):
            x = plane["origin"][0] + (fast + 0.5) * plane["pixel_size"][1]
            y = plane["origin"][1] + (slow + 0.5) * plane["pixel_size"][0]
            expected = None
            for panel in geometry.panels:
                place = np.linalg.solve(np.array([panel.slow_vector[:2], panel.fast_vector[:2]]).T,
                                        np.array([x, y]) - panel.origin[:2])  # fmt: skip
                if np.abs(place - np.round(place)).min() < 1e-6:
                    expected = "edge"
                    break
                row, column = np.floor(place).astype(int)
                if 0 <= row < 30 and 0 <= column < panel.fast[1] - panel.fast[0]:
                    expected = frames[0][row, panel.fast[0] + column]
            if expected == "edge":
                continue
            hits, seen[slow, fast] = hits + 1, True
            assert image[slow, fast] == (made.view.unusable if expected is None else expected), (slow, fast)
    assert hits > 0.9 * image.size
    panels = views.laboratory(views.images.analysis(frame)).panels()
    for panel, told in zip(geometry.panels, panels, strict=True):
        at = np.array([panel.slow[0] + 7.25, panel.fast[0] + 3.5])
        x, y, _ = panel.lab(*at)
        place = np.array(told["matrix"]) @ [*at, 1.0]
        assert place == pytest.approx(
            [y / 1e-4 + plane["beam_center"][0], x / 1e-4 + plane["beam_center"][1]], abs=1e-6
        )
        assert told["off"] < 1e-5
    part = views.of(frame, ViewWish("3:17", "5:40", "1000x1000", frame="laboratory")).view.values
    assert np.array_equal(part, image[3:17, 5:40])
    mask = views.of(frame, ViewWish(size="1000x1000", frame="laboratory", layer="mask")).view
    assert np.array_equal(mask.values == mask.unusable, image == made.view.unusable)


def test_one_flat_detector_is_the_same_in_the_laboratory(masked):
    views = masked[0]
    frame = views.images.frame(0)
    here, there = (views.of(frame, ViewWish(frame=name)) for name in ("detector", "laboratory"))
    assert np.array_equal(here.view.values, there.view.values)
    assert there.about["frame"] == "detector"
    assert there.about["laboratory"] is None


def test_levels_are_of_the_usable_values():
    rng = np.random.default_rng(1)
    for dtype in ("u2", "i4", "f4"):
        image = rng.normal(1000.0, 100.0, (900, 1100)).astype(dtype)
        image[5:10] = 30000
        bad = np.zeros(image.shape, bool)
        bad[:, 400:700] = bad[0] = True
        levels = levels_of(view_of(image, bad, (0, 900, 0, 1100), (900, 1100)))
        good = image[~bad]
        assert (levels["min"], levels["max"]) == (good.min(), good.max())
        for name, share in (("low", 0.01), ("high", 0.995)):
            below = (good <= levels[name]).mean()
            assert below == pytest.approx(share, abs=0.004), (dtype, name)
    nothing = levels_of(view_of(image, np.ones_like(bad), (0, 900, 0, 1100), (900, 1100)))
    assert set(nothing.values()) == {None}


def test_an_overload_is_a_count_and_not_a_mark():
    for dtype, wider in (("u1", "<u2"), ("u2", "<u4"), ("u4", "<f8")):
        most = np.iinfo(dtype).max
        frames = np.full((1, 20, 30), 3, dtype)
        frames[0, 4, 5] = most
        mask = np.zeros((20, 30), np.uint32)
        mask[10:] = 1
        views = views_of(frames, geometry=None, masks={"threshold_1": mask}, valid=ValidValues(overload=most))
        made = views.of(views.images.frame(0), ViewWish(size="3x2"))
        assert made.about["dtype"] == wider
        assert made.view.values[0].tolist() == [most, 3, 3]
        unusable = made.view.values[1] if made.view.unusable is None else made.view.values[1] != made.view.unusable
        assert np.isnan(unusable).all() if made.view.unusable is None else not unusable.any()
        frames[0, 4, 5] = most - 1
        views = views_of(frames, geometry=None, masks={"threshold_1": mask}, valid=ValidValues(overload=most))
        assert views.of(views.images.frame(0), ViewWish(size="3x2")).view.values.dtype == frames.dtype


def test_what_two_wish_alike_is_made_once():
    frames = frames_of(count=2)
    views = views_of(frames)
    frame, started, results = views.images.frame(0), threading.Barrier(3), []
    made, make = [], views._made
    views._made = lambda *arguments: made.append(1) or make(*arguments)

    def look():
        started.wait()
        results.append(views.of(frame, ViewWish(size="40x40")))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(each) for each in results}) == 1
    views.of(frame, ViewWish(size="41x40"))
    views.images._control.version += 1  # other settings, and perhaps another mask
    views.of(frame, ViewWish(size="40x40"))
    assert len(made) == 3


def test_what_failed_is_tried_again():
    remembered, tries = Remembered(2), []

    def fail():
        tries.append(1)
        raise RefusedError("busy", "not now")

    for _ in range(2):
        with pytest.raises(RefusedError):
            remembered.get("a", fail)
    assert len(tries) == 2
    assert [remembered.get(key, lambda key=key: key) for key in "abcab"] == list("abcab")

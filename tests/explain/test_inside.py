"""Maps over photos and lesions: geometry against the pictures' own fitting, shares by hand, baselines that know nothing."""

import cv2
import numpy as np
import pytest

from cutis.data.images import fitted
from cutis.explain import inside
from cutis.explain.frame import onto
from cutis.explain.means import Means
from cutis.explain.together import Together, agreement


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize(("photo", "size"), [((90, 120), (64, 64)), ((120, 90), (64, 64)), ((100, 100), (48, 96))])
def test_a_spot_on_the_photo_is_found_where_it_was(photo: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    y, x = np.mgrid[: photo[0], : photo[1]]
    spot = np.exp(-((y - 0.55 * photo[0]) ** 2 + (x - 0.45 * photo[1]) ** 2) / (2 * 9**2))
    pixels = np.repeat((255 * spot).round().astype(np.uint8)[..., None], 3, axis=2)
    heat = fitted(pixels, size, fit)[..., 0].astype(np.float32) / 255
    back = onto(heat, photo, size, fit)
    seen = np.isfinite(back)
    np.testing.assert_allclose(back[seen], spot[seen], atol=0.06)
    if fit == "crop":
        kept = min(1, size[1] / size[0] * photo[0] / photo[1]) * min(1, photo[1] / photo[0] * size[0] / size[1])
        assert seen.mean() == pytest.approx(kept, abs=0.02)
    else:
        assert seen.all()


def test_shares_and_pointing_by_hand() -> None:
    heat = np.array([[1, 2, 0], [4, 0, np.nan]], np.float32)
    mask = np.array([[True, False, False], [True, True, True]])
    assert inside.share(heat, mask) == pytest.approx(5 / 7)
    assert inside.pointing(heat, mask) == 1
    assert inside.pointing(heat, ~mask) == 0
    assert inside.pointing(np.array([[3.0, 3.0]], np.float32), np.array([[True, False]])) == 0.5
    assert np.isnan(inside.share(np.zeros((2, 2), np.float32), np.eye(2, dtype=bool)))
    assert np.isnan(inside.pointing(np.zeros((2, 2), np.float32), np.eye(2, dtype=bool)))


def test_the_centre_gaussian_holds_what_the_normal_distribution_says() -> None:
    like = np.ones((200, 320), np.float32)
    mask = np.zeros(like.shape, bool)
    mask[50:150, 80:240] = True  # one standard deviation each way, of the two that are seen
    assert inside.share(inside.centre(like), mask) == pytest.approx((0.6827 / 0.9545) ** 2, abs=0.005)
    assert inside.pointing(inside.centre(like), mask) == 1
    like[:, :160] = np.nan  # what the network saw is the right half: its middle counts
    heat = inside.centre(like)
    assert np.unravel_index(np.nanargmax(heat), heat.shape)[1] in (239, 240)
    assert np.isnan(heat[:, :160]).all()


def test_a_random_map_has_the_lesions_area_inside() -> None:
    rng, like = np.random.default_rng(0), np.ones((75, 100), np.float32)
    mask = np.zeros(like.shape, bool)
    mask[20:50, 30:80] = True
    found = [inside.Row.of(like, mask, (7, 7), rng) for _ in range(300)]
    values = {name: np.mean([row.values[name] for row in found if row]) for name in ("area", "share", "share_random", "pointing_random")}
    assert values["area"] == values["share"] == pytest.approx(0.2)
    assert values["share_random"] == pytest.approx(0.2, abs=0.01)
    assert values["pointing_random"] == pytest.approx(0.2, abs=0.08)
    assert inside.Row.of(like, np.ones_like(mask), (7, 7), rng) is None
    assert inside.Row.of(like, np.zeros_like(mask), (7, 7), rng) is None


def test_the_summary_is_a_mean_over_images_with_parts_and_paired_differences() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:30, :40]
    rows, good = [], []
    for i in range(60):
        mask = (y - rng.uniform(5, 25)) ** 2 + (x - rng.uniform(5, 35)) ** 2 < rng.uniform(20, 60)
        sharp = i % 3 > 0
        heat = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2) if sharp else np.ones((30, 40), np.float32)
        rows.append(inside.Row.of(heat if i else np.zeros_like(heat), mask, (7, 7), rng))
        good.append(sharp)
    kept = [row for row in rows if row]
    assert len(kept) == 60
    groups, parts = (
        np.array([f"g{i // 2}" for i in range(60)]),
        {"right": np.array(good), "wrong": ~np.array(good), "none": np.zeros(60, bool)},
    )
    told = inside.summary(kept, Means.over(groups, replicates=200, level=0.95, seed=0), parts)
    assert (told["n"], told["empty"], told["groups"], list(told["by"])) == (59, 1, 30, ["right", "wrong"])
    share = np.array([row.values["share"] for row in kept[1:]])
    assert told["share"]["value"] == pytest.approx(share.mean())
    # the standard error of 59 images, groups of two that are no more alike than others
    assert told["share"]["high"] - told["share"]["low"] == pytest.approx(2 * 2.0 * share.std(ddof=1) / 59**0.5, rel=0.35)
    assert told["by"]["right"]["share_over_centre"]["low"] > 0
    wrong = told["by"]["wrong"]
    assert wrong["share"]["value"] == pytest.approx(wrong["area"]["value"])
    assert wrong["n"] == 19
    assert inside.summary([], Means.over(groups, replicates=10, level=0.95, seed=0), {}) == {}


def test_a_mean_of_one_group_has_no_figure_and_says_why() -> None:
    means = Means.over(np.array(["a", "a", "b"]), replicates=20, level=0.95, seed=0)
    assert means.of([0.2, 0.4, np.nan], share=True)["why"] == "2 images, all of one group"
    assert means.of([np.nan] * 3)["why"] == "no image"
    assert means.of([0.2, 0.4, 0.9])["value"] == pytest.approx(0.5)


def test_members_are_joined_by_weight_and_agree_by_rank() -> None:
    one = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    rising, falling, half = one / 4, one[:, ::-1] / 4, np.where(one > 2, one / 4, np.nan).astype(np.float32)
    answer = Together((), (), np.array([0.75, 0.25]), (), lambda each: each[0], "gradcam")
    np.testing.assert_allclose(answer.joined(np.stack([rising, half])), rising * 0.75 + np.nan_to_num(half) * 0.25)
    assert np.isnan(answer.joined(np.stack([half, half]))[0]).tolist() == [True, True, False, False]
    assert agreement(np.stack([rising, rising**2])) == pytest.approx(1)
    assert agreement(np.stack([rising, falling])) == pytest.approx(-1)
    assert agreement(np.stack([rising, rising, falling])) == pytest.approx(-1 / 3)  # 1, -1 and -1
    assert agreement(np.stack([half, rising])) == pytest.approx(1)  # where both saw something
    assert np.isnan(agreement(rising[None]))

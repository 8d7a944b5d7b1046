"""Augmentation: exact where pixels only move, one resampling where they do not, and every parameter inside its range."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage, stats

from cutis.data.augment import augmented, inverse, mixed, resized, symmetries, symmetry
from cutis.recipe import Augment

EVERYTHING = Augment(
    hflip=True, vflip=True, quarter_turns=True, rotation=30, zoom=(0.8, 1.3), stretch=0.2, shift=0.1,
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, erase=0.5,
)  # fmt: skip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=8, height=24, width=24, seed=1):
    return torch.rand(count, 3, height, width, generator=seeded(seed))


def smooth(count, side, seed=2):
    noise = np.random.default_rng(seed).random((count, 3, side, side))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 3, 3), mode="wrap") * 4 % 1).float()


def coordinates(count, side):
    """Pictures whose red and green say where a pixel is, from the centre, in pixels: 0.5 + offset / (2 side)."""
    line = (torch.arange(side) - (side - 1) / 2) / (2 * side) + 0.5
    x, y = line.expand(side, side), line.unsqueeze(1).expand(side, side)
    return torch.stack([x, y, torch.zeros(side, side)]).expand(count, 3, side, side).contiguous()


def sources(result, side, out, margin):
    """The affine map (output offset -> input offset, pixels) of each coordinate picture, fitted to its middle."""
    line = np.arange(out) - (out - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    keep = (slice(margin, out - margin),) * 2
    design = np.stack([x[keep].ravel(), y[keep].ravel(), np.ones(x[keep].size)], 1)
    values = ((result[:, :2].double().numpy() - 0.5) * 2 * side)[:, :, *keep].reshape(len(result), 2, -1)
    maps = np.array([np.linalg.lstsq(design, v.T, rcond=None)[0].T for v in values])
    assert np.abs(np.einsum("nk,bck->bcn", design, maps) - values).max() < 1e-3, "not affine"
    return maps


def test_nothing_to_do_leaves_every_bit():
    batch = pictures()
    assert augmented(batch, Augment(), (24, 24), seeded()).equal(batch)


def test_flips_and_quarter_turns_move_pixels_only():
    batch = pictures(200)
    result = augmented(batch, Augment(hflip=True, vflip=True, quarter_turns=True), (24, 24), seeded())
    candidates = torch.stack([torch.rot90(b, t, (-2, -1)) for b in (batch, batch.flip(-1)) for t in range(4)])
    hits = (candidates == result).flatten(2).all(2)
    assert hits.sum(0).eq(1).all()
    assert stats.chisquare(hits.sum(1)).pvalue > 0.001  # all eight equally often


@pytest.mark.parametrize(("spec", "flip"), [(Augment(hflip=True), -1), (Augment(vflip=True), -2)])
def test_each_flip_mirrors_its_own_axis_half_of_the_time(spec, flip):
    batch = pictures(400, 6, 9)
    result = augmented(batch, spec, (6, 9), seeded())
    mirrored = (result == batch.flip(flip)).flatten(1).all(1)
    assert ((result == batch).flatten(1).all(1) ^ mirrored).all()
    assert stats.binomtest(int(mirrored.sum()), 400).pvalue > 0.001


def test_quarter_turns_of_an_oblong_picture_are_half_turns():
    batch = pictures(50, 6, 9)
    result = augmented(batch, Augment(quarter_turns=True), (6, 9), seeded())
    kept, turned = (
        torch.stack([(r == c).all() for r, c in zip(result, other, strict=True)]) for other in (batch, batch.rot90(2, (-2, -1)))
    )
    assert (kept ^ turned).all()
    assert 10 < kept.sum() < 40


def test_resampling_and_moving_pixels_agree():
    """A rotation of a millionth of a degree goes through the matrix; the same draws must give the same picture."""
    batch = smooth(64, 32)
    exact = Augment(hflip=True, vflip=True, quarter_turns=True)
    moved = augmented(batch, exact, (32, 32), seeded(3))
    sampled = augmented(batch, exact.model_copy(update={"rotation": 1e-6}), (32, 32), seeded(3))
    torch.testing.assert_close(sampled, moved, atol=1e-4, rtol=0)


def test_geometry_is_one_affine_map_inside_its_ranges():
    spec = Augment(rotation=40, zoom=(1.2, 1.8), stretch=0.3, shift=0.1)
    maps = sources(augmented(coordinates(400, 64), spec, (64, 64), seeded()), 64, 64, 24)
    forward = np.linalg.inv(maps[:, :, :2])  # input -> output: scale after rotation
    zoom = np.sqrt(np.linalg.det(forward))
    lengths = np.linalg.norm(forward, axis=2)  # rows are scaled by the two axis factors
    ratio = lengths[:, 0] / lengths[:, 1]
    angle = np.degrees(np.arctan2(forward[:, 0, 1], forward[:, 0, 0]))
    shift = -np.einsum("bij,bj->bi", forward, maps[:, :, 2]) / 64
    for values, low, high in (
        (zoom, 1.2, 1.8),
        (np.log(ratio), -np.log(1.3), np.log(1.3)),
        (angle, -40, 40),
        *((s, -0.1, 0.1) for s in shift.T),
    ):
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.001
        assert low - 1e-3 < values.min()
        assert values.max() < high + 1e-3


def test_rotation_turns_counter_clockwise_like_rot90():
    spec = Augment(rotation=20, zoom=(1.5, 1.5))
    forward = np.linalg.inv(sources(augmented(coordinates(50, 64), spec, (64, 64), seeded()), 64, 64, 20)[:, :, :2])
    assert np.allclose(forward @ forward.transpose(0, 2, 1), 2.25 * np.eye(2), atol=1e-2)  # a turn and a scale, no shear
    quarter = np.linalg.inv(sources(torch.rot90(coordinates(1, 64), 1, (-2, -1)), 64, 64, 20)[:, :, :2])[0]
    assert np.allclose(quarter, [[0, 1], [-1, 0]], atol=1e-3)  # y points down


def test_resampling_equals_scipy():
    """The map is read off the coordinate pictures; SciPy then resamples other pictures by it, borders mirrored."""
    spec = Augment(rotation=25, zoom=(1.1, 1.3), shift=0.05, hflip=True, quarter_turns=True)
    batch = smooth(6, 48)
    maps = sources(augmented(coordinates(6, 48), spec, (48, 48), seeded(5)), 48, 48, 16)
    result = augmented(batch, spec, (48, 48), seeded(5)).numpy()
    centre = np.full(2, 23.5)
    for picture, got, ((a, b, tx), (c, d, ty)) in zip(batch.numpy(), result, maps, strict=True):
        matrix = np.array([[d, c], [b, a]])  # rows are y, then x
        offset = centre + np.array([ty, tx]) - matrix @ centre
        expected = [ndimage.affine_transform(channel, matrix, offset, order=1, mode="reflect") for channel in picture]
        np.testing.assert_allclose(got, expected, atol=2e-3)


def test_strong_shrinking_does_not_alias():
    board = (torch.arange(224).unsqueeze(1) + torch.arange(224)).remainder(2).float().expand(4, 3, 224, 224)
    result = augmented(board, Augment(rotation=10), (64, 64), seeded())
    torch.testing.assert_close(result[..., 8:-8, 8:-8], torch.full((4, 3, 48, 48), 0.5), atol=0.05, rtol=0)


@given(st.integers(1, 5), st.integers(8, 40), st.integers(8, 40), st.integers(4, 50), st.integers(4, 50), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_any_shape_stays_a_picture(count, height, width, out_height, out_width, seed):
    result = augmented(pictures(count, height, width), EVERYTHING, (out_height, out_width), seeded(seed))
    assert result.shape == (count, 3, out_height, out_width)
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1


def test_fault_g1_the_seed_decides_and_threads_do_not():
    batch, before, threads = pictures(5, 96, 96), torch.random.get_rng_state(), torch.get_num_threads()
    try:
        results = []
        for n in (1, 2):
            torch.set_num_threads(n)
            results += [augmented(part, EVERYTHING, (96, 96), seeded(7)) for part in (batch, batch[:1])]
    finally:
        torch.set_num_threads(threads)
    assert results[0].equal(results[2])
    assert results[1].equal(results[3])
    assert not augmented(batch, EVERYTHING, (96, 96), seeded(8)).equal(results[0])
    assert torch.random.get_rng_state().equal(before), "the global generator was used"


@pytest.mark.gpu
def test_a_gpu_makes_the_same_changes():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    batch = pictures(16, 64, 64)
    on_gpu, on_cpu = (augmented(batch.to(device), EVERYTHING, (48, 48), seeded(2)).cpu() for device in ("cuda", "cpu"))
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-3, rtol=0)
    exact = Augment(hflip=True, vflip=True, quarter_turns=True)
    assert augmented(batch.cuda(), exact, (64, 64), seeded(2)).cpu().equal(augmented(batch, exact, (64, 64), seeded(2)))
    for spec in (Augment(mixup=1.0), Augment(cutmix=1.0)):
        pairs = [mixed(batch.to(device), torch.eye(16).to(device), spec, seeded(3)) for device in ("cuda", "cpu")]
        for got, expected in zip(*pairs, strict=True):
            torch.testing.assert_close(got.cpu(), expected)


def test_switching_colour_on_leaves_geometry_as_it_was():
    batch = torch.full((4, 3, 32, 32), 0.5)
    batch[:, :, 8:20, 4:12] = 0.25
    plain = Augment(rotation=30, shift=0.1)
    one, two = (augmented(batch, s, (32, 32), seeded(4)) for s in (plain, plain.model_copy(update={"brightness": 0.3})))
    factor = (two / one).flatten(1)
    torch.testing.assert_close(factor, factor.mean(1, keepdim=True).expand_as(factor))


@pytest.mark.parametrize(
    ("field", "enhance"), [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)]
)
def test_colour_changes_equal_pillow(field, enhance):
    rng = np.random.default_rng(0)
    pixels = rng.integers(70, 150, (12, 16, 16, 3)).astype(np.uint8)  # far from 0 and 255, where clipping would hide the factor
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    result = augmented(batch, Augment(**{field: 0.4}), (16, 16), seeded())
    for before, after, picture in zip(batch.numpy(), result.numpy(), pixels, strict=True):
        still = {"brightness": 0.0, "contrast": None, "saturation": np.tensordot([0.299, 0.587, 0.114], before, 1)}[field]
        still = np.tensordot([0.299, 0.587, 0.114], before.mean((1, 2)), 1) if still is None else still
        spread = (before - still).ravel()
        factor = float(spread @ (after - still).ravel() / (spread @ spread))
        assert 0.6 <= factor <= 1.4
        expected = np.asarray(enhance(Image.fromarray(picture)).enhance(factor)).transpose(2, 0, 1)
        assert np.abs(after * 255 - expected).max() < 2.1  # Pillow rounds the grey, the mean and the result


def test_brightness_and_contrast_are_uniform_over_their_range():
    flat = torch.full((500, 3, 4, 4), 0.5)
    factor = augmented(flat, Augment(brightness=0.4), (4, 4), seeded()).mean((1, 2, 3)) / 0.5
    assert stats.kstest(factor.numpy(), "uniform", (0.6, 0.8)).pvalue > 0.001
    steps = flat.clone()
    steps[..., :2], steps[..., 2:] = 0.4, 0.6
    spread = augmented(steps, Augment(contrast=0.5), (4, 4), seeded()).std((1, 2, 3)) / steps.std((1, 2, 3))
    assert stats.kstest(spread.numpy(), "uniform", (0.5, 1.0)).pvalue > 0.001


def test_hue_turns_the_chroma_plane_and_nothing_else():
    yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    batch = 0.4 + 0.15 * pictures(300, 6, 6)
    result = augmented(batch, Augment(hue=0.2), (6, 6), seeded())
    before, after = (np.einsum("ij,bjhw->bihw", yiq, x.double().numpy()) for x in (batch, result))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    turn = (after[:, 1] + 1j * after[:, 2]) / (before[:, 1] + 1j * before[:, 2])
    np.testing.assert_allclose(turn, np.broadcast_to(turn[:, :1, :1], turn.shape), atol=1e-3)
    np.testing.assert_allclose(np.abs(turn), 1, atol=1e-3)
    angles = np.angle(turn[:, 0, 0]) / (2 * np.pi)
    assert stats.kstest(angles, "uniform", (-0.2, 0.4)).pvalue > 0.001


def test_colour_leaves_greys_grey():
    grey = pictures(20)[:, :1].expand(-1, 3, -1, -1) * 0.5 + 0.2
    result = augmented(grey, Augment(hue=0.5, saturation=1), (24, 24), seeded())
    torch.testing.assert_close(result, grey, atol=1e-5, rtol=0)


def test_erasing_puts_the_mean_colour_into_a_rectangle():
    batch = pictures(400, 40, 40)
    result = augmented(batch, Augment(erase=0.3), (40, 40), seeded())
    changed = (result != batch).all(1)
    hit = changed.flatten(1).any(1)
    assert stats.binomtest(int(hit.sum()), 400, 0.3).pvalue > 0.001
    shares = []
    for before, after, where in zip(batch[hit], result[hit], changed[hit], strict=True):
        rows, columns = where.any(1).nonzero(), where.any(0).nonzero()
        assert where[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        shares.append(float(where.float().mean()))
        torch.testing.assert_close(after[:, where], before.mean((1, 2)).unsqueeze(1).expand(3, int(where.sum())))
    assert 0.013 < min(shares) < 0.04
    assert 0.16 < max(shares) < 0.22


@pytest.mark.parametrize("k", range(8))
def test_symmetries_have_inverses(k):
    batch = pictures(2)
    assert symmetry(symmetry(batch, k), inverse(k)).equal(batch)
    assert symmetry(batch, k).equal(batch) == (k == 0)


def test_the_eight_symmetries_differ_and_match_the_definition():
    batch = torch.arange(4.0).view(1, 1, 2, 2)  # 0 1 / 2 3
    seen = [symmetry(batch, k).flatten().int().tolist() for k in range(8)]
    assert seen == [[0, 1, 2, 3], [1, 3, 0, 2], [3, 2, 1, 0], [2, 0, 3, 1], [1, 0, 3, 2], [0, 2, 1, 3], [2, 3, 0, 1], [3, 1, 2, 0]]


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_symmetries_of_oblong_pictures_keep_their_shape(count):
    assert len(set(symmetries(32, 32, count))) == count
    oblong = symmetries(20, 32, count)
    assert len(set(oblong)) == min(count, 4)
    assert oblong[0] == 0
    assert all(symmetry(pictures(1, 20, 32), k).shape[-2:] == (20, 32) for k in oblong)


def test_resized_is_deterministic_and_antialiased_like_pillow():
    pixels = (smooth(1, 60)[0].permute(1, 2, 0) * 255).byte()
    expected = np.asarray(Image.fromarray(pixels.numpy()).resize((23, 31), Image.Resampling.BILINEAR))
    result = resized(pixels.permute(2, 0, 1).unsqueeze(0).float() / 255, (31, 23))
    assert np.abs(result[0].permute(1, 2, 0).numpy() * 255 - expected).max() < 1.5


def flat_batch(count=6, side=20):
    """Picture i is the constant i, class i: what a pixel holds says whose it is."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, side, side).contiguous(), torch.eye(count)


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_weighs_by_the_exact_area(seed):
    batch, targets = flat_batch()
    result, mixed_targets = mixed(batch, targets, Augment(cutmix=1.0), seeded(seed))
    area = torch.stack([(result[:, 0] == i).float().mean((1, 2)) for i in range(6)], 1)
    torch.testing.assert_close(mixed_targets, area, atol=1e-6, rtol=0)
    assert batch.equal(flat_batch()[0]), "the caller's batch was changed"


def test_cutmix_pastes_the_same_place():
    batch = pictures(4)
    result, targets = mixed(batch, torch.eye(4), Augment(cutmix=1.0), seeded(1))
    for i in range(4):
        partner = int(torch.cat([targets[i, :i], torch.tensor([-1.0]), targets[i, i + 1 :]]).argmax()) if targets[i, i] < 1 else i
        assert ((result[i] == batch[i]) | (result[i] == batch[partner])).all()


def test_mixup_blends_pictures_and_targets_by_one_share():
    batch, targets = flat_batch()
    for seed in range(20):
        result, soft = mixed(batch, targets, Augment(mixup=0.4), seeded(seed))
        torch.testing.assert_close(result[:, 0, 0, 0], soft @ torch.arange(6.0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(soft.sum(1), torch.ones(6))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixup_share_is_beta_distributed(alpha):
    batch, targets = torch.zeros(2, 3, 1, 1), torch.eye(2)
    generator, shares = seeded(), []
    while len(shares) < 300:
        soft = mixed(batch, targets, Augment(mixup=alpha), generator)[1]
        shares += [float(soft[0, 0])] * bool((soft != targets).any())  # the shuffle may leave both in place
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_with_both_on_each_batch_takes_one():
    batch, targets = flat_batch()
    generator, kinds = seeded(), set()
    for _ in range(40):
        result, soft = mixed(batch, targets, Augment(mixup=1.0, cutmix=1.0), generator)
        torch.testing.assert_close(soft.sum(1), torch.ones(6))
        kinds.add(bool((result == result.round()).all()))  # CutMix keeps whole numbers
    assert kinds == {True, False}


def test_without_mixing_nothing_is_copied():
    batch, targets = flat_batch()
    same, same_targets = mixed(batch, targets, Augment(), seeded())
    assert same is batch
    assert same_targets is targets

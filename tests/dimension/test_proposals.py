"""The bounds of proposed distances are theorems; no setting of torch breaks them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import get_args

import numpy as np
import pytest
import torch

from clouds import CLOUDS, brute_force, outlier_coordinates, parted_by_rounding
from gelora.dimension.neighbors import nearest_neighbors
from gelora.dimension.proposals import (
    FAR,
    Encoder,
    Format,
    FormatName,
    Tile,
    choose_format,
    make_format,
    own_settings,
)

CPU = torch.device("cpu")
FORMATS = {name: make_format(name, CPU) for name in get_args(FormatName)} | {
    "float32 of 11 digits": Format(torch.float32, torch.int32, unused=13)
}


def _tile(
    form: Format, points: torch.Tensor, center: torch.Tensor | None = None
) -> tuple[Encoder, Tile, torch.Tensor]:
    """Return the products of all pairs, and what made them; by default about the mean."""
    if center is None:
        center = points.to(torch.promote_types(points.dtype, torch.float32)).mean(0)
    encoder = Encoder(form, center.double() if form.dtype == torch.float64 else center, 1.0)
    tile = encoder.encode(points, len(points))
    products = torch.empty(len(points), len(points), dtype=form.dtype, device=points.device)
    with own_settings(points.device):
        encoder.multiply(encoder.left_factor(tile.codes), tile.codes, products)
    return encoder, tile, products


def _products(
    form: Format, points: torch.Tensor, center: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the products of all pairs, and the sums of their slacks, in float64."""
    _, tile, products = _tile(form, points, center)
    return products.double(), tile.slack[:, None] + tile.slack


def _bounded(
    form: Format, points: torch.Tensor, center: torch.Tensor | None = None, zoom: float = 1.0
) -> torch.Tensor:
    """Tell of each pair whether both bounds hold; the module's docstring has them.

    The bounds are compared for points `zoom` times as large, whose squares float64 can hold.
    """
    products, slack = (zoom * (zoom * each) for each in _products(form, points, center))
    large = zoom * points.double()
    halves = torch.stack([(large - row).square().sum(1) for row in large]) / 2
    rounded = form.output_roundoff * products.abs()
    above = products - rounded <= (1 + form.delta) * halves
    below = halves <= (1 + form.delta) * (products + rounded + 2 * slack)
    return above & below


def _nearer_are_within(
    form: Format, points: torch.Tensor, center: torch.Tensor | None = None
) -> bool:
    """Tell whether the product of every pair is within the limit of each that is as far or more."""
    encoder, tile, products = _tile(form, points, center)
    uppers = encoder.bounds(products, tile.slack[:, None] + tile.slack)
    count = len(points)
    distances, nearest = brute_force(points.numpy(), count - 1)
    for row in range(count):
        others = torch.from_numpy(nearest[row])
        # The least limit of those that are as far or farther, ties among them.
        least = uppers[row, others].flip(0).cummin(0).values.flip(0)
        least = least[torch.from_numpy(np.searchsorted(distances[row], distances[row]))]
        found = products[row, others].contiguous().view(form.bits)
        if not (found <= encoder.limits(least)).all():
            return False
    return True


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", sorted(CLOUDS.keys() - {"huge float32", "one far sample"}))
def test_both_bounds_hold(name: str, form: Format, seed: int) -> None:
    points = torch.from_numpy(CLOUDS[name](np.random.default_rng(seed)))
    points /= points.abs().max()
    assert _bounded(form, points).all()
    assert _nearer_are_within(form, points)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_the_nearer_is_within_where_rounding_parts_it_from_the_farther(
    form: Format, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(20):
        # About 0, where values near 1.5 have no digits below the unit.
        points = torch.from_numpy(parted_by_rounding(form.delta, rng))
        assert _nearer_are_within(form, points, torch.zeros(points.shape[1]))


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_the_bounds_hold_where_squares_leave_the_format(form: Format, seed: int) -> None:
    exponent = 530 if form.dtype == torch.float64 else 70
    points = np.random.default_rng(seed).normal(size=(60, 16)) * 2.0**-exponent
    center = torch.zeros(16, dtype=torch.float64)
    assert _bounded(form, torch.from_numpy(points), center, zoom=2.0**exponent).all()


@pytest.mark.parametrize("width", [1, 8, 4096])
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_limits_allow_for_all_that_is_rounded(form: Format, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slack = torch.from_numpy(10 ** rng.uniform(-6, 0, 20_000))
    products = (slack * torch.from_numpy(rng.uniform(-1.6, 20, 20_000))).to(form.dtype)
    encoder = Encoder(form, torch.zeros(width), 1.0)
    limits = encoder.limits(encoder.bounds(products, slack)).view(form.dtype)
    # The farther pair's product may have been larger by its rounding, the nearer pair's distance
    # by what float64 measures wrong, and the nearer's product is rounded too.
    unrounded = products.double() + form.output_roundoff * products.double().abs()
    measured = 1 + (width + 6) * 2.0**-52
    needed = (1 + form.delta) ** 2 * measured * (1 + form.output_roundoff) * (unrounded + 2 * slack)
    above = torch.nextafter(limits, torch.full_like(limits, torch.inf))
    assert (needed < above.double()).all()


@pytest.mark.parametrize("name", ["bfloat16", "float32 of 11 digits"])
def test_the_slack_is_needed_and_not_much_more(name: str, seed: int) -> None:
    # Without it the bound would be a hope; ten times too much, and each sample keeps too many.
    form = FORMATS[name]
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(200, 64)))
    points[100:] = points[:100] * (1 + form.delta / 16)
    products, slack = _products(form, points)
    halves = torch.stack([(points - row).square().sum(1) for row in points]) / 2
    assert (products + slack > (1 + form.delta) * halves).any()
    assert slack.max() < 4 * form.delta * halves.mean()


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # the flags' own
def test_sums_are_not_kept_in_bfloat16() -> None:
    # The last of these terms would be lost one by one.
    points = torch.zeros(40, 2049)
    points[:, 0] = torch.arange(40.0) / 64
    points[0, 1:] = 2.0**-6
    points[1, 1:] = -(2.0**-6)
    for enabled in (True, False):
        with torch.backends.mkldnn.flags(enabled=enabled):
            assert _bounded(FORMATS["bfloat16"], points).all()


@contextmanager
def reduced_precision(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.float16):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", ["medium", "high"])
@pytest.mark.parametrize("name", get_args(FormatName))
def test_neither_autocast_nor_the_precision_of_products_matters(
    name: FormatName, precision: str, seed: int
) -> None:
    points = outlier_coordinates(np.random.default_rng(seed))
    expected_distances, expected_indices = brute_force(points)
    states = torch.from_numpy(points).requires_grad_()
    with reduced_precision(precision):
        assert _bounded(FORMATS[name], torch.from_numpy(points)).all()
        distances, indices = nearest_neighbors(states, proposal_format=name)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)


@contextmanager
def newer_setting() -> Iterator[None]:
    matmul = torch.backends.mkldnn.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


@pytest.mark.parametrize("setting", [lambda: reduced_precision("medium"), newer_setting])
@pytest.mark.parametrize("name", get_args(FormatName))
def test_no_setting_changes_a_product(
    name: FormatName,
    setting: Callable[[], AbstractContextManager[None]],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if setting is newer_setting and not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this torch has the older name alone")
    # Large enough for torch to prefer what its settings allow, where the processor has it.
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(1024, 800)))
    with monkeypatch.context() as patch:
        patch.setattr("gelora.dimension.proposals._cpu_may_round", lambda: True)
        cautious, _ = _products(FORMATS[name], points)
    with setting():
        found, _ = _products(FORMATS[name], points)
    assert torch.equal(found, cautious)


@pytest.mark.gpu
@pytest.mark.parametrize("name", get_args(FormatName))
def test_the_bounds_hold_on_a_gpu_with_tf32(name: FormatName, seed: int) -> None:
    points = outlier_coordinates(np.random.default_rng(seed))
    device = torch.device("cuda")
    with reduced_precision("medium"):
        assert _bounded(make_format(name, device), torch.from_numpy(points).to(device)).all()
        found = nearest_neighbors(points, device=device, proposal_format=name)
    np.testing.assert_array_equal(found[1], brute_force(points)[1])


def test_settings_are_put_back() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    with torch.autocast("cpu"), own_settings(CPU):
        assert not matmul.allow_bf16_reduced_precision_reduction
        assert not torch.is_autocast_enabled("cpu")
    assert matmul.allow_bf16_reduced_precision_reduction == before


def test_eleven_digits_are_kept() -> None:
    values = torch.tensor([1.0, -1 - 2.0**-10, 1 + 2.0**-11, -1 - 2.0**-12, 3e-40])
    expected = [1.0, -1 - 2.0**-10, 1 + 2.0**-10, -1.0]
    assert FORMATS["float32 of 11 digits"].round(values)[:4].tolist() == expected


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_limits_let_their_own_pair_pass(form: Format, seed: int) -> None:
    encoder = Encoder(form, torch.zeros(8), 1.0)
    upper = torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-30, 20, 1000))
    bits = upper.to(form.dtype).view(form.bits)
    limits = encoder.limits(upper)
    assert (bits <= limits).all()
    assert (limits.view(form.dtype).double() <= upper * (1 + 8 * form.delta + 1e-12)).all()
    never = torch.tensor([FAR, torch.inf]).to(form.dtype).view(form.bits)
    assert (encoder.limits(torch.tensor([torch.inf])) < never).all()


def test_a_tie_is_kept_where_rounding_parts_it() -> None:
    # On both sides of a sample, as far, and half the squared distance between two bfloat16: one
    # product is rounded up and the other, of a larger slack, down.
    encoder = Encoder(FORMATS["bfloat16"], torch.zeros(5), 1.0)
    fine = torch.arange(1.0, 256)[:, None] * 2.0**-12
    sublayer = torch.cat([torch.tensor([1, 1, 2.0**-4, 2.0**-4]).expand(255, 4), fine], dim=1)
    sample = torch.tensor([[2.0, 0, 0, 0, 0]])
    tile = encoder.encode(torch.cat([sample, sample + sublayer, sample - sublayer]), 512)
    products = torch.empty(512, 512, dtype=torch.bfloat16)
    encoder.multiply(encoder.left_factor(tile.codes), tile.codes, products)
    upper = products[0].double() + 2 * (tile.slack[0] + tile.slack)
    one, other = products[0, 1:256].contiguous(), products[0, 256:511].contiguous()
    assert (one < other).any()
    assert (other.view(torch.int16) <= encoder.limits(upper[1:256])).all()


def test_the_format_is_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda n=native: n)
        assert choose_format(CPU) == expected
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert choose_format(CPU) == "float32"
    assert choose_format(torch.device("mps")) == "float32"


def test_the_format_is_what_the_gpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        supported = lambda *, including_emulation, native=native: native and not including_emulation  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        assert choose_format(torch.device("cuda")) == expected

"""A scan keeps every pair of neighbours and few others, and gives up where it cannot tell."""

import numpy as np
import pytest
import torch

from clouds import CLOUDS, brute_force, parted_by_rounding
from gelora.dimension.proposals import Encoder, Format, make_format
from gelora.dimension.scanning import LANE, MOST, OPENED, Pairs, Tiles, scan
from manifolds import nonlinear

TILE = 4 * LANE
BFLOAT16 = make_format("bfloat16", torch.device("cpu"))


def scan_all(
    points: np.ndarray,
    *,
    wanted: np.ndarray | None = None,
    num_neighbors: int = 2,
    share: tuple[int, int] = (0, 1),
    encoder: Encoder | None = None,
) -> tuple[Pairs, np.ndarray]:
    values = torch.from_numpy(points)
    if encoder is None:
        values = values.float()
        encoder = Encoder(BFLOAT16, values.mean(0), 1.0)

    def tiles(samples: torch.Tensor) -> Tiles:
        cut = samples.split(TILE)
        return Tiles(len(samples), TILE, lambda number: encoder.encode(cut[number], TILE))

    own = None if wanted is None else torch.from_numpy(wanted)
    left = tiles(values if own is None else values[own])
    return scan(encoder, left, tiles(values), own=own, num_neighbors=num_neighbors, share=share)


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.rows.tolist(), pairs.columns.tolist(), strict=True))


@pytest.mark.parametrize("name", ["gaussian", "outlier rows", "curve", "lattice", "copies"])
@pytest.mark.parametrize("num_neighbors", [1, 2, 7])
@pytest.mark.parametrize("at_once", [20, OPENED])
def test_every_neighbor_is_kept(
    name: str, num_neighbors: int, at_once: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gelora.dimension.scanning.OPENED", at_once)
    points = CLOUDS[name](np.random.default_rng(seed)).astype(np.float32)
    pairs, given_up = scan_all(points, num_neighbors=num_neighbors)
    nearest = brute_force(points, num_neighbors)[1]
    kept = as_set(pairs)
    assert len(kept) == len(pairs)
    assert all(
        (row, int(other)) in kept for row in np.flatnonzero(~given_up) for other in nearest[row]
    )


@pytest.mark.parametrize("form", [BFLOAT16, Format(torch.float32, torch.int32, unused=13)])
def test_the_nearest_is_kept_where_rounding_takes_it_farthest_away(form: Format, seed: int) -> None:
    rng = np.random.default_rng(seed)
    encoder = Encoder(form, torch.zeros(200, dtype=torch.float64), 1.0)
    for _ in range(5):
        points = parted_by_rounding(form.delta, rng)
        pairs, given_up = scan_all(points, num_neighbors=1, encoder=encoder)
        assert brute_force(points, 1)[1][0] == 1
        assert (0, 1) in as_set(pairs)
        assert not given_up.any()


def test_few_others_are_kept(seed: int) -> None:
    points = nonlinear(1500, seed=seed, dimension=12, width=64) - 1000
    pairs, given_up = scan_all(points)
    assert not given_up.any()
    assert len(pairs) < 3 * len(points)


def test_some_samples_have_the_pairs_that_they_have_among_all(seed: int) -> None:
    points = CLOUDS["gaussian"](np.random.default_rng(seed))
    wanted = np.array([5, 250, 7])
    alone, _ = scan_all(points, wanted=wanted)
    assert all(wanted[row] != column for row, column in as_set(alone))
    nearest = brute_force(points)[1][wanted]
    assert {(i, int(other)) for i in range(3) for other in nearest[i]} <= as_set(alone)


def test_shares_make_the_whole(seed: int) -> None:
    points = CLOUDS["gaussian"](np.random.default_rng(seed))
    parts = [as_set(scan_all(points, share=(number, 3))[0]) for number in range(3)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert as_set(scan_all(points)[0]) <= set.union(*parts)


def test_a_sample_with_too_many_is_given_up_and_no_other(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(400, 32))
    crowd = np.arange(0, 400, 400 // (MOST + 10))
    points[0] = 8  # far from all others, or it would crowd them too
    points[crowd] = points[0] * (1 + 1e-5 * np.arange(len(crowd)))[:, None]
    pairs, given_up = scan_all(points)
    assert np.flatnonzero(given_up).tolist() == crowd.tolist()
    assert not np.isin(pairs.rows, crowd).any()


def test_a_share_without_tiles_finds_no_pairs() -> None:
    points = np.random.default_rng(0).normal(size=(8, 4))  # one tile, which another process takes
    pairs, given_up = scan_all(points, share=(1, 2))
    assert len(pairs) == 0
    assert given_up.tolist() == [False] * 8

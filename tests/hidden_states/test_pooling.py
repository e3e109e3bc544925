"""Real tokens alone are pooled, wherever they stand, and nothing larger than the result is made."""

import pytest
import torch

from gelora.hidden_states.pooling import EVERYTHING, pool, token_runs

NAN = float("nan")
MASKS = {
    "none": [[1] * 5] * 4,
    "right": [[1] * 5, [1] * 3 + [0] * 2, [1] * 3 + [0] * 2, [1] + [0] * 4],
    "left": [[0] * 2 + [1] * 3, [1] * 5, [0] * 4 + [1], [0] * 4 + [1]],
    "both": [[0, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]],
    "holes": [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [1, 0, 1, 0, 1]],
}


def by_hand(states, mask, pooling):
    choose = {
        "mean": lambda row: row.mean(0),
        "last": lambda row: row[-1],
        "first": lambda row: row[0],
    }
    rows = [row[keep].double() for row, keep in zip(states, mask, strict=True)]
    return torch.stack([choose[pooling](row) for row in rows]).float()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
@pytest.mark.parametrize("name", MASKS)
def test_every_mask_pools_its_real_tokens_and_padding_may_hold_anything(name, pooling, dtype, seed):
    mask = torch.tensor(MASKS[name]).bool()
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(4, 5, 3, generator=generator).to(dtype)
    states[~mask] = NAN
    for form in (mask, mask.long(), mask.float()):
        found = pool(states, token_runs(form), pooling)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, by_hand(states, mask, pooling), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_without_a_mask_all_tokens_are_real(pooling):
    states = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(4, 5)
    expected = pool(states, token_runs(mask), pooling)
    assert torch.equal(pool(states, EVERYTHING, pooling), expected)
    assert len(token_runs(mask)) == 1


def test_a_sum_beyond_float16_is_no_overflow_and_an_overflow_is_kept():
    large = torch.full((1, 4, 1), 40_000.0, dtype=torch.float16)
    assert pool(large, EVERYTHING, "mean").item() == 40_000
    assert pool(large * 2, EVERYTHING, "mean").item() == float("inf")


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, torch.float32) for name in MASKS), ("right", torch.bfloat16)]
)
@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_no_copy_larger_than_the_pooled_rows_but_for_one_sequence(name, dtype, pooling):
    tokens, width = 40, 64
    mask = torch.tensor(MASKS[name]).repeat_interleave(tokens // 5, dim=1)
    states, runs = torch.randn(4, tokens, width).to(dtype), token_runs(mask)
    with torch.profiler.profile(profile_memory=True) as profile:
        pooled = pool(states, runs, pooling)
    copies_one = name == "holes" or (dtype != torch.float32 and pooling == "mean")
    bound = tokens * width * 4 if copies_one else pooled.nbytes
    assert 0 < max(event.self_cpu_memory_usage for event in profile.events()) <= bound

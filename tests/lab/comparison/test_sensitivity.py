import numpy as np

from gelora.lab.comparison.sensitivity import variations
from lab.comparison.results_examples import (
    example_answers,
    example_reference,
    example_results,
    example_row,
)

MODULES = [
    f"encoder.layer.{i}.attention.self.{role}" for i in range(3) for role in ("key", "value")
]


def ranks(*by_block, modules=MODULES):
    return {name: by_block[int(name.split(".")[2])] for name in modules}


def varied_results(*settings, seeds=range(4)):
    """Make runs of gelora-paper, one list of seeds for each (varied, ranks, accuracy)."""
    reference = example_reference()
    runs = [
        example_row(
            "gelora-paper",
            example_answers(reference, accuracy, seed=[seed, number]),
            reference,
            seed=seed,
            varied=varied,
            ranks=found,
        )
        for number, (varied, found, accuracy) in enumerate(settings)
        for seed in seeds
    ]
    return example_results({"lora": 0.8}, seeds=seeds, extra=runs)


def test_the_runs_as_they_are_come_first_and_others_are_compared_with_them():
    results = varied_results(
        ({"pooling": "last"}, ranks(1, 3, 2), 0.9),
        ({}, ranks(1, 2, 2), 0.7),
        ({"target_modules": "value"}, ranks(2, 2, 2, modules=MODULES[1::2]), 0.7),
    )
    first, pooled, targeted = variations(results)
    assert (first.varied, first.modules_moved, first.difference) == ({}, None, None)
    assert pooled.varied == {"pooling": "last"}
    assert (pooled.modules_moved, pooled.modules_shared) == (2, 6)
    assert pooled.difference.outcome == "loss"
    np.testing.assert_allclose(pooled.difference.value, pooled.summary.mean - first.summary.mean)
    assert (targeted.modules_moved, targeted.modules_shared) == (1, 3)
    assert targeted.difference.outcome == "tie"


def test_without_runs_as_they_are_the_first_value_is_the_measure():
    results = varied_results(
        ({"rounding": "up"}, ranks(2, 2, 2), 0.8), ({"rounding": "down"}, ranks(1, 1, 2), 0.8)
    )
    up, down = variations(results)
    assert up.difference is None
    assert (down.modules_moved, down.modules_shared) == (4, 6)


def test_ranks_of_a_block_are_together():
    uneven = {**ranks(1, 2, 3), "encoder.layer.1.attention.self.key": 4}
    (found,) = variations(varied_results(({"pooling": "last"}, uneven, 0.8)))
    assert found.block_ranks == ["1", "2/4", "3"]


def test_blocks_are_in_their_order_and_not_the_alphabets():
    modules = [f"encoder.layer.{block}.attention.self.key" for block in range(12)]
    by_alphabet = dict(sorted(zip(modules, range(1, 13), strict=True)))  # as results.jsonl has them
    (found,) = variations(varied_results(({"pooling": "last"}, by_alphabet, 0.8)))
    assert found.block_ranks == list(map(str, range(1, 13)))


def test_a_comparison_without_variations_has_none():
    assert variations(example_results({"gelora": 0.8, "lora": 0.8})) == []

"""The triplets of one module: what acts, what learns, how importance is smoothed, what is new."""

import torch

from gelora.lab.baselines.increlora import LONG_AGO, RESERVED, Triplets


def test_one_is_trained_from_zero_the_reserve_hardly_acts_and_the_rest_does_not():
    triplets = Triplets(5, reserve=2)
    assert triplets.values[0] == 0
    with torch.no_grad():
        triplets.values[:] = 7.0
    expected = torch.tensor([7.0, RESERVED, RESERVED, 0.0, 0.0])
    torch.testing.assert_close(triplets(torch.ones(5, 3)), expected[:, None].expand(5, 3))
    assert triplets.is_kept().flatten().tolist() == [True] + 4 * [False]
    assert triplets.is_open().flatten().tolist() == 3 * [True] + 2 * [False]


def test_only_values_that_are_trained_and_vectors_that_are_open_get_gradients():
    triplets, a = Triplets(4, reserve=1), torch.ones(4, 3, requires_grad=True)
    with torch.no_grad():
        triplets.values[:] = 7.0
    triplets(a).sum().backward()
    assert triplets.values.grad is not None
    assert a.grad is not None
    assert (triplets.values.grad.flatten() != 0).tolist() == [True, False, False, False]
    assert a.grad.any(dim=1).tolist() == [True, True, False, False]


def test_to_grow_is_to_train_the_reserve_from_where_it_was_and_to_reserve_the_next():
    triplets = Triplets(8, reserve=2)
    with torch.no_grad():
        triplets.values[:] = 7.0
        before = triplets(torch.ones(8, 1)).flatten()
        triplets.grow(2, step=30)
        after = triplets(torch.ones(8, 1)).flatten()
    assert triplets.is_kept().sum() == 3
    assert triplets.room() == 5
    torch.testing.assert_close(after[:3], before[:3])
    assert after[3:].tolist() == torch.tensor([RESERVED, RESERVED, 0, 0, 0]).tolist()
    assert triplets.trained_since.flatten().tolist() == [LONG_AGO, 30, 30] + 5 * [LONG_AGO]
    assert triplets.reserved_since.flatten().tolist() == (
        3 * [LONG_AGO] + [30, 30] + 3 * [LONG_AGO]
    )


def test_importance_and_its_uncertainty_are_moving_means_and_the_score_is_their_product():
    triplets = Triplets(2, reserve=1)
    sensitivity = uncertainty = 0.0
    for importance in (3.0, 1.0, 4.0, 1.0, 5.0):
        triplets.observe(torch.tensor(importance), 0.85)
        sensitivity = 0.85 * sensitivity + 0.15 * importance
        uncertainty = 0.85 * uncertainty + 0.15 * abs(importance - sensitivity)
    assert abs(triplets.score() - sensitivity * uncertainty) < 1e-6


def test_what_is_new_takes_steps_that_lengthen_over_the_warm_up():
    triplets = Triplets(6, reserve=1)
    triplets.grow(1, step=20)
    for step, share in ((21, 0.25), (22, 0.5), (24, 1.0), (100, 1.0)):
        of_values, of_left, of_right = triplets.warmth(step, warmup=4)
        assert of_values.flatten().tolist() == [1, share, 1, 1, 1, 1]
        assert of_left.flatten().tolist() == [1, 1, share, 1, 1, 1]
        assert torch.equal(of_left, of_right)

"""Points are checked and read some rows at a time, wherever they lie."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gelora.dimension import points as module
from gelora.dimension.points import as_tensor, largest, open_points
from gelora.errors import HiddenStatesError, NonFiniteStatesError


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (6, 0)])
def test_not_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(HiddenStatesError, match=r"matrix \(samples, width\); got shape"):
        as_tensor(np.zeros(shape))


def test_complex_values_are_not_cut_to_their_real_part() -> None:
    with pytest.raises(HiddenStatesError, match="real values at layer 'a'; got torch.complex128"):
        as_tensor(np.zeros((3, 4), dtype=complex), where=" at layer 'a'")


def test_an_array_read_backwards_is_as_good() -> None:
    values = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(as_tensor(values[::-1, ::-1]), values[::-1, ::-1])


@pytest.mark.parametrize("values_at_once", [4, 2**21])
def test_values_that_are_not_finite_are_counted(
    values_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", values_at_once)
    points = torch.zeros(10, 4, dtype=torch.float16)
    points[2, 1] = torch.nan
    points[3, :3] = -torch.inf
    match = r"1 NaN and 3 infinite values among 40 at layer 'a'\. .* bfloat16 or float32"
    with pytest.raises(NonFiniteStatesError, match=match):
        as_tensor(points, where=" at layer 'a'")


def test_memory_is_shared(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    assert as_tensor(values).data_ptr() == values.ctypes.data
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert as_tensor(mapped).data_ptr() == mapped.ctypes.data


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_is_of_either_sign(dtype: torch.dtype) -> None:
    assert largest(torch.tensor([[1.0, -3.0], [2.0, 0.0]], dtype=dtype)) == 3.0
    assert largest(torch.empty(0, 4, dtype=dtype)) == 0.0


@pytest.mark.parametrize("rows", [None, np.array([4, 0, 3])])
def test_positions_are_among_the_rows(
    rows: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 4)
    values = np.arange(10.0).reshape(5, 2)
    points = open_points(values, rows=rows, device=None)
    expected = values if rows is None else values[rows]
    assert (len(points), points.width) == (len(expected), 2)
    np.testing.assert_array_equal(torch.cat(list(points.tiles())), expected)
    np.testing.assert_array_equal(points.pick(torch.tensor([2, 0])), expected[[2, 0]])


@pytest.mark.parametrize(("value", "scale"), [(1.0, 1.0), (1e300, 2.0**-997), (1e-300, 2.0**996)])
def test_scales_keep_squares_in_range(value: float, scale: float) -> None:
    assert open_points(np.full((2, 2), value), rows=None, device=None).safe_scale == scale


def test_lists_and_truth_values_are_points() -> None:
    assert as_tensor([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert as_tensor(np.eye(2, dtype=bool)).tolist() == [[True, False], [False, True]]


def test_a_column_of_texts_is_refused() -> None:
    with pytest.raises(HiddenStatesError, match="Expected numbers; got values of type .*texts"):
        as_tensor([["a", "b"], ["c", "d"]])

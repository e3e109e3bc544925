"""Fewer draws of the dimensions where a test does not look at probabilities."""

import pytest

from gelora.ranks import uncertainty


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the dimensions 100 times instead of 4,000."""
    monkeypatch.setattr(uncertainty, "NUM_DRAWS", 100)

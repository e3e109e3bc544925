"""What every test gets: no network, one thread, no clock, and the `seed` fixture.

With GELORA_CHECK_SHAPES=1 the types and shapes of arrays are checked on every call.
A test that takes `seed` runs with one seed; with GELORA_TEST_SEEDS=all, with each of 100.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported, so set first
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

import shape_checks

CHECKS_SHAPES = os.environ.get("GELORA_CHECK_SHAPES") == "1"
if CHECKS_SHAPES:
    install_import_hook(shape_checks.MODULES, "shape_checks.checked")  # before gelora is imported

DEFAULT_SEED = 42
NUM_SEEDS = 100

torch.set_num_threads(1)

# How long an example takes says how busy the machine is, nothing of the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        every = os.environ.get("GELORA_TEST_SEEDS") == "all"
        metafunc.parametrize("seed", range(NUM_SEEDS) if every else [DEFAULT_SEED])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if item.get_closest_marker("unchecked") and CHECKS_SHAPES:
            item.add_marker(pytest.mark.skip(reason="looks at its caller"))

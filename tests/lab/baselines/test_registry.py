"""Every method has a name, is found by it, and is not loaded before."""

import subprocess
import sys

import pytest

import gelora.lab.baselines
from gelora.errors import ConfigError
from gelora.lab.baselines import MODULES, find_method


@pytest.mark.parametrize("name", [*MODULES, "lora-r1", "lora-r16"])
def test_a_method_is_found_by_its_name(name):
    assert find_method(name).name == name


@pytest.mark.parametrize("name", ["lora-r0", "lora-r", "LoRA", "lora-r2.5"])
def test_an_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"no method '{name}'; there are gelora, .*linear-probe"):
        find_method(name)


def test_names_are_read_without_torch():
    code = "import gelora.lab.baselines, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_public_names_resolve_and_others_do_not():
    assert all(getattr(gelora.lab.baselines, name).__doc__ for name in gelora.lab.baselines.__all__)
    with pytest.raises(AttributeError, match="'gelora.lab.baselines' has no attribute 'lora'"):
        gelora.lab.baselines.lora  # noqa: B018

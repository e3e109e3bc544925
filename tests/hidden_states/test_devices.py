"""Where models run."""

import pytest
import torch

from gelora.hidden_states.devices import default_device, device_name


@pytest.mark.parametrize(("is_there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_an_accelerator_that_torch_is_built_for_may_not_be_there(is_there, kind, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: is_there)
    assert default_device() == torch.device(kind)


def test_a_gpu_has_its_own_name_and_any_other_device_that_of_its_kind(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert device_name(torch.device("cuda", 1)) == "GPU 1"
    assert device_name(torch.device("cpu")) == "cpu"
    assert device_name(torch.device("mps", 0)) == "mps"

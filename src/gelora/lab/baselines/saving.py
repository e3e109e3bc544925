"""Keep what a method trained that is no PeftModel: the trained tensors, and how to place them.

A PeftModel saves itself. The folder holds the tensors alone, so the pretrained model is needed
again to load them: for full fine-tuning it gives only its structure.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from gelora.artifacts import read_json, usual_mode, write_json
from gelora.errors import ArtifactError, ModelMismatchError
from gelora.hidden_states.architectures import check_fingerprint, model_fingerprint
from gelora.lab.baselines.bottleneck import KINDS, insert
from gelora.lab.baselines.method import Size

TRAINED_FILE = "trained_parameters.json"
TENSORS_FILE = "trained_parameters.safetensors"
KIND = "trained-parameters"


def save_trained(model: nn.Module, folder: str | Path, *, method: str, size: Size) -> Path:
    """Save what requires gradients, with the name and size of the method that trained it.

    Args:
        model: As the method's `finish` returned it.
        folder: Made if it is not there; files of the same names are replaced.
        method: Its name.
        size: That it was applied with.

    Returns:
        The folder.

    Raises:
        ArtifactError: The model is a PeftModel.
    """
    if isinstance(model, PeftModel):
        raise ArtifactError(
            f"{method} trained a PeftModel, which is saved by its own save_pretrained."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRAINED_FILE).unlink(missing_ok=True)  # written last: with it the folder is whole
    tensors = {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_file(tensors, folder / TENSORS_FILE, metadata={"format": "pt"})
    # safetensors' own 0600 would hide it from the team
    (folder / TENSORS_FILE).chmod(usual_mode(folder))
    payload = {"method": method, "size": asdict(size), "fingerprint": model_fingerprint(model)}
    write_json(folder / TRAINED_FILE, payload, kind=KIND)
    return folder


def load_trained(model: PreTrainedModel, folder: str | Path) -> None:
    """Give a pretrained model what was saved, in place; exactly that requires gradients then.

    Args:
        model: The one that was trained from, with a head of the same size and nothing inserted. If
            an error is raised it is of no more use.
        folder: As `save_trained` left it.

    Raises:
        ArtifactError: The files are missing or cut short, or do not fit the model.
        ModelMismatchError: The saved tensors belong on another model.
    """
    folder = Path(folder)
    payload = read_json(folder / TRAINED_FILE, kind=KIND)
    try:
        method, size = str(payload["method"]), Size(**payload["size"])
        fingerprint = dict(payload["fingerprint"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"The record of trained parameters lacks or mistypes a field: {error}."
        ) from error
    if method in KINDS:
        insert(model, method, size.value)
    tensors = _read_tensors(folder / TENSORS_FILE)
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        shape = tuple(parameters[name].shape) if name in parameters else None
        if shape != tuple(tensor.shape):
            found = f"has shape {shape}" if shape else "is not there"
            raise ArtifactError(
                f"{folder} holds {name} of shape {tuple(tensor.shape)}, which in this model "
                f"{found}: load it into the model it was trained from, with the same head."
            )
    model.requires_grad_(False)
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameter = parameters[name]
            parameter.data = tensor.to(parameter.device)
            parameter.requires_grad = True
    try:
        check_fingerprint(model, fingerprint)
    except ModelMismatchError as error:
        raise ModelMismatchError(
            f"{folder} was saved from another model than this {model.name_or_path}: load it into "
            "the one it was trained from."
        ) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): train and save again.") from error

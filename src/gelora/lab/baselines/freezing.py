"""Methods that train some of a model's own parameters: full fine-tuning, BitFit, linear probing.

BitFit (Ben Zaken, Goldberg, Ravfogel 2022; arXiv 2106.10199) trains all biases, as in the paper's
main form: those of projections and norms, in the embeddings too. The linear probe trains the head
on a frozen model by the same loop as every method.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from torch import nn
from transformers import PreTrainedModel

from gelora.errors import ArchitectureError, ConfigError
from gelora.hidden_states.task_head import new_head
from gelora.lab.baselines.method import Applied, Method, Setting, Size
from gelora.problems import Problem

Parameters = Mapping[str, nn.Parameter]


def backbone_parameters(model: PreTrainedModel, problem: Problem) -> dict[str, nn.Parameter]:
    """Return the parameters that are not a new head's, by name; a tied one only once.

    A language model has no new head: all of it is backbone.
    """
    head = new_head(model, problem)
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.partition(".")[0] not in head
    }


def biases(model: PreTrainedModel, problem: Problem) -> dict[str, nn.Parameter]:
    """Return the biases of a model without its head, by name.

    Raises:
        ArchitectureError: It has none, as a Llama.
    """
    # DeBERTa's first version keeps some of them beside their projection, as q_bias and v_bias.
    own = {
        name: parameter
        for name, parameter in backbone_parameters(model, problem).items()
        if name.rpartition(".")[2] == "bias" or name.endswith("_bias")
    }
    if not own:
        raise ArchitectureError(
            f"{type(model).__name__} has no biases, so BitFit has nothing to train: leave out "
            "bitfit."
        )
    return own


def train_with_head(model: PreTrainedModel, problem: Problem, names: Collection[str]) -> None:
    """Train the named parameters of the backbone and the whole head, and freeze all others.

    Precisions stay as they are.

    Args:
        model: With a head for the problem.
        problem: Of the task.
        names: May be none, for the head alone.

    Raises:
        ConfigError: Nothing would train, or a weight to train is quantised.
    """
    frozen = backbone_parameters(model, problem).keys() - set(names)
    trained = {
        name: parameter for name, parameter in model.named_parameters() if name not in frozen
    }
    if not trained:
        raise ConfigError(
            f"In {type(model).__name__} there is no new head to train for {problem}: leave out "
            "linear-probe."
        )
    for name, parameter in trained.items():
        if not parameter.is_floating_point():
            dtype = str(parameter.dtype).removeprefix("torch.")
            raise ConfigError(
                f"{name} was to be trained and is quantised, in {dtype}: load the model without "
                "--load_in_4bit or --load_in_8bit, or leave out full."
            )
    model.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad = True


def _size(
    choose: Callable[[PreTrainedModel, Problem], Parameters],
    model: PreTrainedModel,
    budget: int,
    setting: Setting,
) -> Size:
    del budget  # there is only one size
    return Size(0, sum(parameter.numel() for parameter in choose(model, setting.problem).values()))


def _apply(
    choose: Callable[[PreTrainedModel, Problem], Parameters],
    model: PreTrainedModel,
    size: Size,
    setting: Setting,
) -> Applied:
    del size
    train_with_head(model, setting.problem, choose(model, setting.problem))
    return Applied(model)


def _nothing(model: PreTrainedModel, problem: Problem) -> Parameters:
    del model, problem
    return {}


METHODS: Mapping[str, Method] = {
    name: Method(name, size=partial(_size, choose), apply=partial(_apply, choose))
    for name, choose in (
        ("full", backbone_parameters),
        ("bitfit", biases),
        ("linear-probe", _nothing),
    )
}

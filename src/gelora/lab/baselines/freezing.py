"""Which of a model's own parameters train: those that a method names, and the head.

For methods that are written here; PEFT does the same for its own. It leaves their precision to
`training.train.train_in_float32`, which knows how they are going to be trained.
"""

from collections.abc import Collection

from torch import nn
from transformers import PreTrainedModel

from gelora.errors import ConfigError
from gelora.hidden_states.task_head import new_head
from gelora.problems import Problem


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


def train_with_head(model: PreTrainedModel, problem: Problem, names: Collection[str]) -> None:
    """Train the named parameters of the backbone and the whole head, and freeze all others.

    Args:
        model: With a head for the problem.
        problem: Of the task.
        names: May be none, for the head alone.

    Raises:
        ConfigError: Nothing would train, or a weight that is quantised would have to.
    """
    frozen = backbone_parameters(model, problem).keys() - set(names)
    trained = {name: each for name, each in model.named_parameters() if name not in frozen}
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

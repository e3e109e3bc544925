"""BitFit (Ben Zaken, Goldberg, Ravfogel 2022; arXiv 2106.10199): only the biases train.

All of them, as in the paper's main form: those of the projections and of the norms, in the
embeddings too. A model whose projections have none, such as Llama, cannot be tuned by it.
"""

from collections.abc import Mapping

from torch import nn
from transformers import PreTrainedModel

from gelora.errors import ArchitectureError
from gelora.lab.baselines.freezing import backbone_parameters, train_with_head
from gelora.lab.baselines.method import Applied, Method, Setting, Size
from gelora.problems import Problem


def biases(model: PreTrainedModel, problem: Problem) -> dict[str, nn.Parameter]:
    """Return the biases of a model without its head, by name.

    Raises:
        ArchitectureError: It has none.
    """
    # DeBERTa's first version keeps some of them beside their projection, as q_bias and v_bias.
    found = {
        name: parameter
        for name, parameter in backbone_parameters(model, problem).items()
        if name.rpartition(".")[2] == "bias" or name.endswith("_bias")
    }
    if not found:
        raise ArchitectureError(
            f"{type(model).__name__} has no biases, so BitFit has nothing to train: leave out "
            "bitfit."
        )
    return found


def _size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    del budget  # there is only one size
    return Size(0, sum(bias.numel() for bias in biases(model, setting.problem).values()))


def _apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    del size
    train_with_head(model, setting.problem, biases(model, setting.problem))
    return Applied(model)


METHODS: Mapping[str, Method] = {"bitfit": Method("bitfit", size=_size, apply=_apply)}

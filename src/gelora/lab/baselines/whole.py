"""The two ends of fine-tuning: every parameter of the model, and none but the head's.

The linear probe trains the head on a frozen model by the same loop as every method; a linear model
that is fitted to its states instead is in `frozen_encoder`.
"""

from collections.abc import Mapping

from transformers import PreTrainedModel

from gelora.lab.baselines.freezing import backbone_parameters, train_with_head
from gelora.lab.baselines.method import Applied, Method, Setting, Size


def _full_size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    del budget  # there is only one size
    parameters = backbone_parameters(model, setting.problem).values()
    return Size(0, sum(parameter.numel() for parameter in parameters))


def _apply_full(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    del size
    train_with_head(model, setting.problem, backbone_parameters(model, setting.problem))
    return Applied(model)


def _probe_size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    del model, budget, setting
    return Size(0, 0)


def _apply_probe(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    del size
    train_with_head(model, setting.problem, ())
    return Applied(model)


METHODS: Mapping[str, Method] = {
    "full": Method("full", size=_full_size, apply=_apply_full),
    "linear-probe": Method("linear-probe", size=_probe_size, apply=_apply_probe),
}

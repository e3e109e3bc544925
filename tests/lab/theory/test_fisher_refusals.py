"""What has no Fisher information is refused, and says why."""

import re

import pytest
import torch

from gelora.errors import ArchitectureError, DataError, NonFiniteStatesError, RankError
from gelora.lab.theory.fisher import block_fishers
from tiny_samples import classifier, samples_for, with_adapter


def test_there_are_no_batches():
    with pytest.raises(DataError, match="There are no batches to measure the Fisher information"):
        block_fishers(classifier(), [], of="weights", stage="before")


def test_a_model_without_an_adapter():
    with pytest.raises(RankError, match="BertForSequenceClassification has no active LoRA adapter"):
        block_fishers(classifier(), samples_for("classifier", 1), of="lora", stage="before")


@pytest.mark.parametrize(
    ("change", "state"),
    [("merge_adapter", "merged into its weight"), ("disable_adapter_layers", "switched off")],
)
def test_an_adapter_that_does_nothing(change, state):
    model = with_adapter(classifier())
    getattr(model.base_model, change)()
    message = f"The adapter of encoder.layer.0.attention.self.query is {state}, so that its"
    with pytest.raises(RankError, match=re.escape(message)):
        block_fishers(model, samples_for("classifier", 1), of="lora", stage="after")


def test_gradients_that_are_not_finite():
    model = classifier()
    model.bert.encoder.layer[1].output.dense.weight.data.fill_(torch.inf)
    message = "2 of 2 samples have gradients in encoder.layer.0 that are NaN or infinite: load"
    with pytest.raises(NonFiniteStatesError, match=re.escape(message)):
        block_fishers(model, samples_for("classifier", 2), of="weights", stage="before")


def test_a_module_without_a_part():
    model = classifier()
    layer = model.bert.encoder.layer[2].attention.self
    layer.unused = torch.nn.Linear(8, 8).double()
    message = "encoder.layer.2.attention.self.unused has no part in what BertForSequence"
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        block_fishers(
            model,
            samples_for("classifier", 2),
            of="weights",
            stage="before",
            target_modules=["value", "unused"],
        )

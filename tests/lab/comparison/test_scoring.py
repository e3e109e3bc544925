"""The loss that tells equals apart is what the model itself would have trained on."""

from dataclasses import replace

import pytest
import torch
from transformers import BertForSequenceClassification

from gelora.lab.comparison.scoring import score
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task


@pytest.mark.parametrize(("problem", "num_labels"), [("classification", 2), ("regression", 1)])
def test_the_loss_is_the_models_own(problem, num_labels, seed):
    torch.manual_seed(seed)
    model = tiny_bert(BertForSequenceClassification, num_labels=num_labels).eval()
    tokenizer, data = tiny_tokenizer(), tiny_task(problem=problem)
    scored = score(model, tokenizer, data, batch_size=7, max_length=None)
    batch = tokenizer(list(data.validation["text"]), padding=True, return_tensors="pt")
    with torch.no_grad():
        loss = model(**batch, labels=torch.tensor(data.validation["label"])).loss
    assert scored.loss == pytest.approx(loss.item(), rel=1e-5)


def test_the_loss_is_of_the_split_whose_predictions_are_kept():
    model, data = tiny_bert(BertForSequenceClassification).eval(), tiny_task()
    alone = score(model, tiny_tokenizer(), data, batch_size=8, max_length=None)
    two = replace(data, more_validation={"other": data.train})
    both = score(model, tiny_tokenizer(), two, batch_size=8, max_length=None)
    assert (both.predictions, both.loss) == (alone.predictions, alone.loss)
    assert len(both.metrics) == 2 * len(alone.metrics)

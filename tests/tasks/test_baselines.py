"""What a run's metrics are compared with, problem by problem."""

from dataclasses import replace

from transformers import BertForSequenceClassification

from gelora.tasks.baselines import after_training, before_training
from tiny_chats import tiny_instructions
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import tiny_task

COST = {"batch_size": 16, "max_length": 12}  # which cuts texts: training and evaluating tell


def test_every_validation_set_has_its_own_majority():
    data = tiny_task()
    ones = data.validation.filter(lambda row: row["label"] == 1)
    data = replace(data, more_validation={"mismatched": ones})
    model = tiny_bert(BertForSequenceClassification)
    found = before_training(model, tiny_tokenizer(), data, with_encoder=False, seed=0, **COST)
    assert set(found) == {"majority"}
    majority = found["majority"]
    assert majority["accuracy"].num_samples == len(data.validation)
    assert majority["accuracy_mismatched"].num_samples == len(ones)
    assert majority["accuracy_mismatched"].value in {0.0, 1.0}


def test_the_encoder_is_asked_only_where_it_is_wanted():
    model = tiny_bert(BertForSequenceClassification)
    data = tiny_task()
    found = before_training(model, tiny_tokenizer(), data, with_encoder=True, seed=0, **COST)
    assert set(found) == {"frozen_encoder", "majority"}
    nothing = replace(data, validation=None)
    given = {"with_encoder": True, "seed": 0, **COST}
    assert before_training(model, tiny_tokenizer(), nothing, **given) == {}


def test_questions_and_instructions_have_nothing_before_training():
    given = {"with_encoder": True, "seed": 0, **COST}
    for data in (tiny_questions(), tiny_instructions()):
        assert before_training(tiny_bert(), tiny_tokenizer(), data, **given) == {}
    for data in (tiny_questions(), tiny_task(), replace(tiny_instructions(), validation=None)):
        assert after_training(None, tiny_tokenizer(), data, **COST) == {}

"""Training on questions that was killed and resumed ends as training left alone; and by hand."""

from dataclasses import replace

import pytest
import torch
from peft import get_peft_model
from transformers import BertForQuestionAnswering, Trainer, default_data_collator, set_seed

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.question_answering.windows import split_contexts
from gelora.tasks.train import train
from invariants import killed_answering
from invariants.same_ends import (
    assert_resumes_to_the_same_end,
    assert_same_weights,
    config_by_hand,
    weights,
)
from tiny_models import WORDS, tiny_bert, tiny_tokenizer
from tiny_questions import questions, tiny_questions
from tiny_tasks import quick_arguments


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("alone")
    return output_dir, killed_answering.run(output_dir)


@pytest.mark.parametrize("moment", ["writing", pytest.param("training", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_end(moment, left_alone, tmp_path):
    assert_resumes_to_the_same_end(killed_answering, moment, left_alone, tmp_path)
    assert sum("eval_best_f1" in entry for entry in left_alone[1].history) == 3


def test_without_padding_training_is_peft_and_the_trainer_by_hand(tmp_path):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(8, 20, (32, 10), generator=generator)
    contexts = [" ".join(WORDS[i] for i in row) for row in drawn.tolist()]
    split = questions(contexts, [[(text.split()[0], 0)] for text in contexts])
    data, tokenizer = tiny_questions(), tiny_tokenizer()
    windows = split_contexts(split, tokenizer, data.question_answering, max_length=None)
    model = tiny_bert(BertForQuestionAnswering)
    plan = plan_ranks(profile_of(model), scaling=2.0)
    ours = replace(data, train=split)
    train(model, tokenizer, ours, plan, arguments=quick_arguments(tmp_path / "ours"))

    set_seed(7)
    config = config_by_hand(plan, "bert", modules_to_save=["qa_outputs"])
    wrapped = get_peft_model(tiny_bert(BertForQuestionAnswering), config)
    Trainer(
        model=wrapped,
        args=quick_arguments(tmp_path / "hand"),
        train_dataset=windows.features,
        data_collator=default_data_collator,
    ).train()
    wrapped.save_pretrained(tmp_path / "hand" / "adapter")
    assert_same_weights(weights(tmp_path / "ours"), weights(tmp_path / "hand"))

"""The page on training: its Python runs, and its flags exist."""

import re
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification, DataCollatorWithPadding, Trainer

from example_profiles import profile_of
from gelora.cli.config import FLAGS
from gelora.cli.parsing import training_fields
from gelora.ranks import plan_ranks
from gelora.tasks.classification.evaluation import tokenize
from gelora.training import wrap
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

THEIRS = {*training_fields("instruction_tuning"), *training_fields(None)}
OF_ACCELERATE = {"multi_gpu", "num_processes"}
PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_the_callback_is_added_to_a_trainer_of_ones_own(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    model, tokenizer = tiny_bert(BertForSequenceClassification), tiny_tokenizer()
    profile = profile_of(model)
    plan = plan_ranks(profile)
    trainer = Trainer(
        model=wrap(model, plan, "classification"),
        args=quick_arguments(tmp_path),
        train_dataset=tokenize(tiny_task().train, tokenizer, max_length=None),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    names = {"trainer": trainer, "plan": plan, "profile": profile, "texts": tiny_texts(150)}
    exec(block.replace("every=200", "every=3"), names)
    trainer.train()
    logged = [e["step"] for e in trainer.state.log_history if "gelora/dimension/block_02" in e]
    assert logged == [0, 3, 6]


def test_every_flag_exists():
    flags = set(re.findall(r"--(\w+)", PAGE))
    assert len(flags) > 20
    assert flags - THEIRS - OF_ACCELERATE <= FLAGS.keys()

"""Tuning that was killed and resumed ends as tuning left alone; and it is TRL's by hand."""

import pytest
from peft import get_peft_model
from transformers import set_seed

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from invariants import killed_tuning
from invariants.same_ends import (
    assert_resumes_to_the_same_end,
    assert_same_weights,
    config_by_hand,
    weights,
)
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("alone")
    return output_dir, killed_tuning.run(output_dir)


@pytest.mark.parametrize("moment", ["writing", pytest.param("training", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_end(moment, left_alone, tmp_path):
    assert_resumes_to_the_same_end(killed_tuning, moment, left_alone, tmp_path)
    assert sum("eval_perplexity" in entry for entry in left_alone[1].history) == 3


@pytest.mark.parametrize("chats", [True, False])
def test_tuning_is_trl_by_hand(chats, tmp_path):
    from trl.trainer.sft_trainer import SFTTrainer

    data, tokenizer = tiny_instructions(chats=chats), chat_tokenizer()
    plan = plan_ranks(profile_of(causal_llama()), scaling=2.0)
    train(causal_llama(), tokenizer, data, plan, arguments=sft_arguments(tmp_path / "ours"))

    set_seed(7)
    config = config_by_hand(plan, "model", task_type="CAUSAL_LM")
    wrapped = get_peft_model(causal_llama(), config)
    SFTTrainer(
        model=wrapped,
        args=sft_arguments(tmp_path / "hand"),
        train_dataset=data.train,
        processing_class=tokenizer,
    ).train()
    wrapped.save_pretrained(tmp_path / "hand" / "adapter")
    assert_same_weights(weights(tmp_path / "ours"), weights(tmp_path / "hand"))

"""Runs that must end with the same weights: by hand, in smaller batches, interrupted."""

import json
import re

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import (
    BertForSequenceClassification,
    DataCollatorWithPadding,
    DebertaV2ForSequenceClassification,
    LlamaForSequenceClassification,
    Trainer,
    TrainerCallback,
    set_seed,
)

from example_profiles import profile_of
from gelora.errors import RankError
from gelora.ranks import plan_ranks
from gelora.tasks.classification.evaluation import predict, tokenize
from gelora.tasks.evaluate import evaluate
from gelora.tasks.train import train
from invariants import killed_run
from invariants.same_ends import (
    assert_resumes_to_the_same_end,
    assert_same_weights,
    config_by_hand,
    weights,
)
from tiny_models import tiny_bert, tiny_deberta, tiny_llama, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task


def bert(**overrides):
    return tiny_bert(BertForSequenceClassification, **overrides)


def test_training_is_peft_and_the_trainer_by_hand(tmp_path):
    model, tokenizer, data = bert(), tiny_tokenizer(), tiny_task()
    plan = plan_ranks(profile_of(model), scaling=2.0)
    train(model, tokenizer, data, plan, arguments=quick_arguments(tmp_path / "ours"))

    set_seed(7)
    config = config_by_hand(plan, "bert", task_type="SEQ_CLS")
    wrapped = get_peft_model(bert(), config)
    Trainer(
        model=wrapped,
        args=quick_arguments(tmp_path / "hand"),
        train_dataset=tokenize(data.train, tokenizer, max_length=None),
        data_collator=DataCollatorWithPadding(tokenizer),
    ).train()
    wrapped.save_pretrained(tmp_path / "hand" / "adapter")
    assert_same_weights(weights(tmp_path / "ours"), weights(tmp_path / "hand"))


# Without dropout, whose random numbers depend on the batch; SGD, for Adam hides a gradient's scale.
@pytest.mark.parametrize(
    "make",
    [
        lambda: bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        lambda: tiny_llama(LlamaForSequenceClassification),  # whose loss does count the whole batch
    ],
)
def test_two_batches_of_four_are_one_of_eight(make, tmp_path):
    for size, accumulation in ((8, 1), (4, 2)):
        model = make()
        arguments = quick_arguments(
            tmp_path / str(size),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
        )
        plan = plan_ranks(profile_of(model))
        train(model, tiny_tokenizer(), tiny_task(), plan, arguments=arguments)
    torch.testing.assert_close(
        weights(tmp_path / "8"), weights(tmp_path / "4"), rtol=1e-4, atol=1e-6
    )


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("left_alone")
    return output_dir, killed_run.run(output_dir)


@pytest.mark.parametrize("moment", ["writing", pytest.param("training", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_weights(moment, left_alone, tmp_path, caplog):
    assert_resumes_to_the_same_end(killed_run, moment, left_alone, tmp_path)
    passed_over = any("passed over" in message for message in caplog.messages)
    assert passed_over == (moment == "writing")


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiny_deberta(DebertaV2ForSequenceClassification),
        lambda: bert(num_labels=1, problem_type="regression"),
    ],
)
def test_resuming_restores_the_adapter_and_the_whole_head(make, tmp_path):
    class StopAfter5(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 5

    plan, tokenizer = plan_ranks(profile_of(make())), tiny_tokenizer()
    problem = "regression" if make().config.num_labels == 1 else "classification"
    data = tiny_task(problem=problem)
    results = {}
    for name, callbacks in (("alone", []), ("stopped", [StopAfter5()]), ("resumed", [])):
        folder = tmp_path / ("alone" if name == "alone" else "broken")
        # Dropout, several epochs and a decaying rate: all must go on where they stopped.
        arguments = quick_arguments(
            folder, max_steps=20, save_strategy="steps", save_steps=3, save_total_limit=1
        )
        model = make()
        if name == "resumed":  # what only the checkpoint can restore
            torch.nn.init.normal_(model.classifier.weight)
        resume = tmp_path / "broken" / "checkpoint-3" if name == "resumed" else None
        results[name] = train(
            model,
            tokenizer,
            data,
            plan,
            arguments=arguments,
            callbacks=callbacks,
            resume_from_checkpoint=resume,
        )
    del results["stopped"]
    ours, theirs = (predict(result.model, tokenizer, data.train) for result in results.values())
    assert (ours == theirs).all()
    assert_same_weights(weights(tmp_path / "alone"), weights(tmp_path / "broken"))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    profile = profile_of(bert())
    arguments = quick_arguments(tmp_path, save_strategy="steps", save_steps=6)
    train(bert(), tiny_tokenizer(), tiny_task(), plan_ranks(profile), arguments=arguments)
    before = weights(tmp_path)
    other = plan_ranks(profile, min_rank=3)
    with pytest.raises(RankError, match=re.escape("planned were rank 3 and scale 2")):
        train(
            bert(),
            tiny_tokenizer(),
            tiny_task(),
            other,
            arguments=arguments,
            resume_from_checkpoint=True,
        )
    assert_same_weights(weights(tmp_path), before)


def test_the_best_checkpoint_is_what_is_saved(tmp_path):
    arguments = quick_arguments(
        tmp_path,
        max_steps=12,
        learning_rate=0.05,  # high enough that the last step is not the best
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    )
    plan, data = plan_ranks(profile_of(bert())), tiny_task()
    result = train(bert(), tiny_tokenizer(), data, plan, arguments=arguments)
    accuracies = {e["step"]: e["eval_accuracy"] for e in result.history if "eval_accuracy" in e}
    best = max(accuracies, key=lambda step: (accuracies[step], -step))
    assert len(accuracies) == 6
    assert accuracies[best] > accuracies[12]
    checkpoint = load_file(tmp_path / f"checkpoint-{best}" / "adapter_model.safetensors")
    assert_same_weights(weights(tmp_path), checkpoint)
    scored = evaluate(result.model, tiny_tokenizer(), data)
    assert scored["accuracy"].value == accuracies[best]


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    arguments = quick_arguments(tmp_path, save_strategy="steps", save_steps=6)
    plan = plan_ranks(profile_of(bert()))
    train(bert(), tiny_tokenizer(), tiny_task(), plan, arguments=arguments)
    before = weights(tmp_path)
    train(
        bert(),
        tiny_tokenizer(),
        tiny_task(),
        plan,
        arguments=arguments,
        resume_from_checkpoint=True,
    )
    assert_same_weights(weights(tmp_path), before)
    state = json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())
    assert state["global_step"] == 6

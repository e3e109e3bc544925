"""A training run that kills itself with SIGKILL, as a process of its own.

    python killed_run.py OUTPUT_DIR {training,writing}

Steps are checkpointed at 4 and 8. It dies after step 10, or while checkpoint 8 is being written.
"""

import os
import signal
import sys
from pathlib import Path

from transformers import BertForSequenceClassification, Trainer, TrainerCallback

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

SCHEDULE = {"max_steps": 12, "save_strategy": "steps", "save_steps": 4, "logging_steps": 4}


def run(output_dir, **kwargs):
    model = tiny_bert(BertForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    arguments = quick_arguments(output_dir, **SCHEDULE)
    return train(model, tiny_tokenizer(), tiny_task(), plan, arguments=arguments, **kwargs)


def die(*args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillAfterStep10(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 10:
            die()


def kill_in_checkpoint_8() -> None:
    save = Trainer._save_rng_state

    def save_or_die(trainer, output_dir):
        if trainer.state.global_step == 8:
            die()
        save(trainer, output_dir)

    Trainer._save_rng_state = save_or_die


if __name__ == "__main__":
    output_dir, moment = Path(sys.argv[1]), sys.argv[2]
    if moment == "writing":
        kill_in_checkpoint_8()
    run(output_dir, callbacks=[KillAfterStep10()] if moment == "training" else [])

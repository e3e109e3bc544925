"""As `killed_run.py`, for questions.

python killed_answering.py OUTPUT_DIR {training,writing}
"""

import sys
from pathlib import Path

from transformers import BertForQuestionAnswering

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from invariants.killed_run import SCHEDULE, KillAfterStep10, kill_in_checkpoint_8
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import quick_arguments

MORE = {"eval_strategy": "steps", "eval_steps": 4}


def run(output_dir, **kwargs):
    model = tiny_bert(BertForQuestionAnswering)
    plan = plan_ranks(profile_of(model))
    return train(
        model,
        tiny_tokenizer(),
        tiny_questions(version_2=True, max_words=30),
        plan,
        arguments=quick_arguments(output_dir, **SCHEDULE, **MORE),
        max_length=20,
        **kwargs,
    )


if __name__ == "__main__":
    output_dir, moment = Path(sys.argv[1]), sys.argv[2]
    if moment == "writing":
        kill_in_checkpoint_8()
    run(output_dir, callbacks=[KillAfterStep10()] if moment == "training" else [])

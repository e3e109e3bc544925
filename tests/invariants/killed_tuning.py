"""As `killed_run.py`, for TRL's SFTTrainer.

python killed_tuning.py OUTPUT_DIR {training,writing}
"""

import sys
from pathlib import Path

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from invariants.killed_run import SCHEDULE, KillAfterStep10, kill_in_checkpoint_8
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions

MORE = {"packing": True, "eval_strategy": "steps", "eval_steps": 4}


def run(output_dir, **kwargs):
    model = causal_llama(attention_dropout=0.1)
    plan = plan_ranks(profile_of(model))
    arguments = sft_arguments(output_dir, **SCHEDULE, **MORE, per_device_train_batch_size=1)
    data = tiny_instructions(num_train=40)
    return train(model, chat_tokenizer(), data, plan, arguments=arguments, **kwargs)


if __name__ == "__main__":
    output_dir, moment = Path(sys.argv[1]), sys.argv[2]
    if moment == "writing":
        kill_in_checkpoint_8()
    run(output_dir, callbacks=[KillAfterStep10()] if moment == "training" else [])

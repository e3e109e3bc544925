"""One of two processes that measure together over gloo, as a process of its own.

    python measure_together.py FOLDER RANK

It prints the hashes of its profiles. FOLDER is where one measurement keeps its hidden states.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist

import gelora.measurement.growth
from gelora.errors import GeloraWarning
from gelora.measurement import measure_dimensions, measure_hidden_states
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer

NUM_PROCESSES = 2


def profiles(folder: Path) -> dict[str, str]:
    """Measure in every way in which processes share work; return the profiles' hashes."""
    texts = tiny_texts(280)
    arguments = (tiny_bert(), tiny_tokenizer(), [*texts, *texts[:20]])
    found = {
        "at once": measure_dimensions(*arguments, batch_tokens=200),
        "one batch": measure_dimensions(*arguments, batch_tokens=10**6),
        "kept, in parts": measure_dimensions(
            *arguments, precision=1e-9, batch_tokens=200, keep_hidden_states=folder
        ),
        "from kept states": measure_hidden_states(folder, estimator="gride_4"),
    }
    return {name: profile.content_hash() for name, profile in found.items()}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore", GeloraWarning)
    torch.set_num_threads(1)
    gelora.measurement.growth.FIRST_SIZE = 100
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder.with_name('meeting')}",
        rank=rank,
        world_size=NUM_PROCESSES,
    )
    hashes = profiles(folder)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(hashes))

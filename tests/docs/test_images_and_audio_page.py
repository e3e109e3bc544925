"""The Python of docs/images-and-audio.md runs as it stands, in order."""

import re

import pytest
from peft import PeftModel

import gelora
from written_pages import written_pages

PAGE = written_pages()["docs/images-and-audio.md"]


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_the_blocks_run_in_order():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert isinstance(names["wrapped"], PeftModel)
    gelora.verify_ranks(names["wrapped"], names["wrapped"].rank_plan)
    assert names["profile"].fingerprint["model_type"] == "wav2vec2"
    assert names["profile"].num_texts == 128

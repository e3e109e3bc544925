"""A merged model that does not compute what the adapter does is not written."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from gelora.errors import RankError
from gelora.exports import export_merged
from hidden_states.test_reach import zamba2
from tiny_models import tiny_bert, tiny_llama, tiny_t5, tiny_tokenizer


def adapter(model, folder, targets):
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    return folder


def test_export_merged_refuses_blocks_that_share_a_weight(tmp_path):
    folder = adapter(zamba2(), tmp_path / "adapter", ["q_proj", "o_proj"])
    with pytest.raises(RankError, match="differ from the adapter's by .* nothing is written"):
        export_merged(folder, tmp_path / "merged", zamba2(), tiny_tokenizer())
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("make", "targets"),
    [(tiny_llama, ["q_proj"]), (tiny_bert, ["query", "dense"]), (tiny_t5, ["q", "wo"])],
)
def test_export_merged_takes_what_merges_up_to_rounding(tmp_path, make, targets, dtype):
    folder = adapter(make(), tmp_path / "adapter", targets)
    merged = export_merged(folder, tmp_path / "merged", make().to(dtype), tiny_tokenizer())
    assert (merged / "model.safetensors").is_file()

"""What the flags make of a model's checkpoint."""

import pytest
import torch

from gelora.cli.loading import load_backbone, load_data, load_with_head
from gelora.cli.parsing import parse
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer


@pytest.mark.parametrize(
    ("asked", "dtype"), [([], torch.float32), (["--dtype", "bfloat16"], torch.bfloat16)]
)
def test_half_precision_is_trained_in_float32_unless_asked_for(asked, dtype, flags, tmp_path):
    folder = save_tiny(tiny_bert().bfloat16(), tiny_tokenizer(), tmp_path / "half")
    config = parse("train", [*flags, "--model_name_or_path", str(folder), *asked])
    model, _ = load_with_head(config, load_data(config, labels_required=True))
    assert model.dtype == dtype
    assert load_backbone(config)[0].dtype == torch.bfloat16

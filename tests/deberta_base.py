"""The structure of microsoft/deberta-v3-base with a head, without weights: for counting."""

from typing import Any

import torch
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification


def deberta_base() -> Any:
    config = DebertaV2Config(
        vocab_size=128_100,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        pooler_hidden_size=768,
    )
    with torch.device("meta"):
        return DebertaV2ForSequenceClassification(config)

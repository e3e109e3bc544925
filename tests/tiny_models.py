"""Tiny models with random weights, one function for each architecture, and a tokenizer for them.

All are built in code: width 32, three blocks, 64 tokens; nothing is downloaded. Each function takes
the class to build, so heads cost one word, and overrides of its config:

    tiny_bert(BertForSequenceClassification, num_labels=3)
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch.nn.utils.rnn import pad_sequence

VOCAB_SIZE = 64
WIDTH = 32
NUM_BLOCKS = 3
MAX_TOKENS = 64
SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
WORDS = tuple(f"w{index}" for index in range(VOCAB_SIZE - len(SPECIAL_TOKENS)))

_TOKEN_IDS = {"vocab_size": VOCAB_SIZE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
# Wide enough weights that every block visibly changes its input.
_USUAL = {
    **_TOKEN_IDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
    "initializer_range": 0.2,
}


def _build(
    model_class: type[hf.PreTrainedModel], defaults: dict[str, Any], overrides: dict[str, Any]
) -> Any:
    config = model_class.config_class(**{**defaults, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model_class(config).eval()


def tiny_bert(model_class: Any = hf.BertModel, **overrides: Any) -> Any:
    return _build(model_class, _USUAL, overrides)


def tiny_roberta(model_class: Any = hf.RobertaModel, **overrides: Any) -> Any:
    # Its positions begin after the padding's index, so it has one more than it can use.
    return _build(model_class, {**_USUAL, "max_position_embeddings": MAX_TOKENS + 1}, overrides)


def tiny_deberta(model_class: Any = hf.DebertaV2Model, **overrides: Any) -> Any:
    """Build DeBERTa-v3 as released: shared keys and queries for positions, in buckets."""
    disentangled = {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
    }
    return _build(model_class, {**_USUAL, **disentangled}, overrides)


def tiny_electra(model_class: Any = hf.ElectraModel, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "embedding_size": 16}, overrides)


def tiny_modernbert(model_class: Any = hf.ModernBertModel, **overrides: Any) -> Any:
    tokens = {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 8}
    return _build(model_class, {**_USUAL, **tokens}, overrides)


def tiny_distilbert(model_class: Any = hf.DistilBertModel, **overrides: Any) -> Any:
    sizes = {
        "dim": WIDTH,
        "n_layers": NUM_BLOCKS,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": 0.2,
    }
    return _build(model_class, {**_TOKEN_IDS, **sizes}, overrides)


def tiny_gpt2(model_class: Any = hf.GPT2Model, **overrides: Any) -> Any:
    sizes = {
        "n_embd": WIDTH,
        "n_layer": NUM_BLOCKS,
        "n_head": 4,
        "n_positions": MAX_TOKENS,
        "initializer_range": 0.2,
    }
    return _build(model_class, {**_TOKEN_IDS, **sizes}, overrides)


def tiny_gpt_neox(model_class: Any = hf.GPTNeoXModel, **overrides: Any) -> Any:
    return _build(model_class, _USUAL, overrides)


def tiny_llama(model_class: Any = hf.LlamaModel, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2}, overrides)


def tiny_qwen3(model_class: Any = hf.Qwen3Model, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2, "head_dim": 8}, overrides)


def tiny_mistral(model_class: Any = hf.MistralModel, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2}, overrides)


def tiny_phi3(model_class: Any = hf.Phi3Model, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2}, overrides)


def tiny_gemma(model_class: Any = hf.GemmaModel, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2, "head_dim": 8}, overrides)


def tiny_t5(model_class: Any = hf.T5Model, **overrides: Any) -> Any:
    sizes = {
        "d_model": WIDTH,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": NUM_BLOCKS,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    }
    return _build(model_class, {**_TOKEN_IDS, **sizes}, overrides)


def tiny_bart(model_class: Any = hf.BartModel, **overrides: Any) -> Any:
    sizes = {
        "d_model": WIDTH,
        "encoder_layers": NUM_BLOCKS,
        "decoder_layers": NUM_BLOCKS,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": MAX_TOKENS,
        "init_std": 0.2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
    }
    return _build(model_class, {**_TOKEN_IDS, **sizes}, overrides)


def tiny_vit(model_class: Any = hf.ViTModel, **overrides: Any) -> Any:
    text_only = (*_TOKEN_IDS, "max_position_embeddings")
    sizes = {name: value for name, value in _USUAL.items() if name not in text_only}
    return _build(model_class, {**sizes, "image_size": 16, "patch_size": 4}, overrides)


def tiny_wav2vec2(model_class: Any = hf.Wav2Vec2Model, **overrides: Any) -> Any:
    """Build a model of audio that makes one frame of eight samples; also `HubertModel`."""
    text_only = (*_TOKEN_IDS, "max_position_embeddings")
    sizes = {name: value for name, value in _USUAL.items() if name not in text_only}
    convolutions = {
        "conv_dim": (16, 16),
        "conv_kernel": (8, 4),
        "conv_stride": (4, 2),
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    }
    return _build(model_class, {**sizes, **convolutions}, overrides)


def tiny_whisper(model_class: Any = hf.WhisperModel, **overrides: Any) -> Any:
    sizes = {
        "d_model": WIDTH,
        "encoder_layers": NUM_BLOCKS,
        "decoder_layers": NUM_BLOCKS,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "num_mel_bins": 8,
        "max_source_positions": 20,
        "init_std": 0.2,
        "decoder_start_token_id": 1,
    }
    return _build(model_class, {**_TOKEN_IDS, **sizes}, overrides)


def tiny_gemma2(model_class: Any = hf.Gemma2Model, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "num_key_value_heads": 2, "head_dim": 8}, overrides)


def tiny_olmo2(model_class: Any = hf.Olmo2Model, **overrides: Any) -> Any:
    return _build(model_class, _USUAL, overrides)


def tiny_granite(model_class: Any = hf.GraniteModel, **overrides: Any) -> Any:
    return _build(model_class, {**_USUAL, "residual_multiplier": 0.22}, overrides)


def tiny_mixtral(model_class: Any = hf.MixtralModel, **overrides: Any) -> Any:
    return _build(
        model_class, {**_USUAL, "num_key_value_heads": 2, "num_local_experts": 3}, overrides
    )


def tiny_opt(model_class: Any = hf.OPTModel, **overrides: Any) -> Any:
    sizes = {"ffn_dim": 64, "word_embed_proj_dim": WIDTH, "init_std": 0.2}
    return _build(model_class, {**_USUAL, **sizes}, overrides)


def tiny_phi(model_class: Any = hf.PhiModel, **overrides: Any) -> Any:
    return _build(model_class, _USUAL, overrides)


TINY_MODELS: dict[str, Callable[..., Any]] = {
    "bert": tiny_bert,
    "roberta": tiny_roberta,
    "deberta": tiny_deberta,
    "electra": tiny_electra,
    "modernbert": tiny_modernbert,
    "distilbert": tiny_distilbert,
    "gpt2": tiny_gpt2,
    "gpt_neox": tiny_gpt_neox,
    "llama": tiny_llama,
    "qwen3": tiny_qwen3,
    "mistral": tiny_mistral,
    "phi3": tiny_phi3,
    "gemma": tiny_gemma,
    "t5": tiny_t5,
    "bart": tiny_bart,
    "vit": tiny_vit,
}
# Each writes to its residual stream in its own way: which tests of `hook_points` are about.
MORE_MODELS: dict[str, Callable[..., Any]] = {
    "gemma2": tiny_gemma2,  # norms before and behind each half
    "olmo2": tiny_olmo2,  # norms behind each half alone
    "granite": tiny_granite,  # halves scaled
    "mixtral": tiny_mixtral,  # experts
    "opt": tiny_opt,  # all tokens of a batch along one axis
    "phi": tiny_phi,  # both halves at once
}


def tiny_batch(name: str, *, padding_side: str = "right") -> dict[str, torch.Tensor]:
    """Draw three images for a "vit", and four sequences of tokens, padded, for any other model."""
    generator = torch.Generator().manual_seed(0)
    if name == "vit":
        return {"pixel_values": torch.randn(3, 3, 16, 16, generator=generator)}
    rows = [torch.randint(4, VOCAB_SIZE, (n,), generator=generator) for n in (5, 9, 5, 3)]
    ones = [torch.ones_like(row) for row in rows]
    pad = partial(pad_sequence, batch_first=True, padding_side=padding_side)
    return {"input_ids": pad(rows), "attention_mask": pad(ones)}


def tiny_images(count: int, *, batch_size: int = 16) -> list[dict[str, torch.Tensor]]:
    """Draw batches of images for a "vit", with labels."""
    images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return [{"pixel_values": part, "labels": part[:, 0, 0, 0]} for part in images.split(batch_size)]


def tiny_waves(count: int, *, batch_size: int = 16) -> list[dict[str, torch.Tensor]]:
    """Draw padded batches of audio for a "wav2vec2", of 60 to 200 samples each."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(60, 201, (count, 1), generator=generator)
    mask = (torch.arange(200) < lengths).long()
    waves = torch.randn(count, 200, generator=generator) * mask
    return [
        {"input_values": values, "attention_mask": real}
        for values, real in zip(waves.split(batch_size), mask.split(batch_size), strict=True)
    ]


def tiny_tokenizer(
    *, padding_side: str = "right", words: Sequence[str] = WORDS
) -> hf.PreTrainedTokenizerFast:
    """Build a tokenizer of whole words: [PAD] 0, [CLS] 1, [SEP] 2, [UNK] 3, then the words."""
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        padding_side=padding_side,
        model_max_length=MAX_TOKENS,
    )


def tiny_texts(num_texts: int, *, seed: int = 0, max_words: int = 12) -> list[str]:
    """Draw texts of 4 to `max_words` words that `tiny_tokenizer` knows; all but surely distinct."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(4, max_words + 1, size=num_texts)
    return [" ".join(generator.choice(WORDS, size=length)) for length in lengths]


def save_tiny(
    model: hf.PreTrainedModel, tokenizer: hf.PreTrainedTokenizerFast, folder: str | Path
) -> Path:
    """Save a model and its tokenizer as one folder, as a Hub repository holds them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)

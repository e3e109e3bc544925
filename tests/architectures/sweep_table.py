"""Architectures of transformers, tiny: the class, its config, and what becomes of it."""

from tiny_models import _USUAL

GROUPED = {**_USUAL, "num_key_value_heads": 2, "head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SMALL_EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
LINEAR_HEADS = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MAMBA_HEADS = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 4,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 16,
    "patch_size": 4,
}
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "num_heads": 4,
    "intermediate_size": 64,
    "out_hidden_size": 32,
    "patch_size": 4,
}
MLA = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
STATE_SPACE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "state_size": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
XLM = {
    "vocab_size": 64,
    "emb_dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 64,
    "pad_index": 0,
}
GPTJ = {
    "vocab_size": 64,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "rotary_dim": 4,
    "n_positions": 64,
}
T5 = {
    "vocab_size": 64,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 3,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
SEQ2SEQ = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "pad_token_id": 0,
    "decoder_start_token_id": 2,
}

WORKS = "works"
# The class and its config, and the verdict: WORKS, or a part of the sentence that refuses it.
SWEEP = {
    "Qwen3_5ForCausalLM": ({**GROUPED, **LINEAR_HEADS, "num_hidden_layers": 4}, WORKS),
    "Qwen3NextForCausalLM": (
        {
            **GROUPED,
            **LINEAR_HEADS,
            **EXPERTS,
            "num_hidden_layers": 4,
            "shared_expert_intermediate_size": 16,
        },
        WORKS,
    ),
    "JambaForCausalLM": (
        {
            **_USUAL,
            "num_hidden_layers": 4,
            "num_key_value_heads": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "use_mamba_kernels": False,
            "mamba_d_state": 4,
        },
        WORKS,
    ),
    "MambaForCausalLM": (STATE_SPACE, WORKS),
    "Mamba2ForCausalLM": (
        {**STATE_SPACE, "head_dim": 8, "num_heads": 8, "n_groups": 1, "chunk_size": 8},
        WORKS,
    ),
    "FalconMambaForCausalLM": (STATE_SPACE, WORKS),
    "BambaForCausalLM": (
        {**_USUAL, **MAMBA_HEADS, "num_key_value_heads": 2, "attn_layer_indices": [1]},
        WORKS,
    ),
    "FalconH1ForCausalLM": ({**GROUPED, **MAMBA_HEADS, "mamba_d_ssm": 64}, WORKS),
    "NemotronHForCausalLM": (
        {
            **GROUPED,
            "num_hidden_layers": 4,
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "ssm_state_size": 4,
            "n_groups": 1,
            "chunk_size": 8,
            "layers_block_type": ["mamba", "moe", "attention", "moe"],
        },
        WORKS,
    ),
    "Lfm2ForCausalLM": ({**GROUPED, "layer_types": ["conv", "full_attention", "conv"]}, WORKS),
    "GraniteMoeHybridForCausalLM": (
        {
            **_USUAL,
            **MAMBA_HEADS,
            **SMALL_EXPERTS,
            "num_key_value_heads": 2,
            "layer_types": ["mamba", "attention", "mamba"],
            "shared_intermediate_size": 32,
        },
        WORKS,
    ),
    "MiniMaxForCausalLM": (
        {
            **GROUPED,
            **SMALL_EXPERTS,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "block_size": 8,
        },
        WORKS,
    ),
    "RecurrentGemmaForCausalLM": (
        {
            **GROUPED,
            "lru_width": 32,
            "block_types": ["recurrent", "recurrent", "attention"],
            "attention_window_size": 16,
        },
        WORKS,
    ),
    "RwkvForCausalLM": (
        {
            "vocab_size": 64,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "attention_hidden_size": 32,
            "intermediate_size": 64,
            "context_length": 64,
            "pad_token_id": 0,
        },
        WORKS,
    ),
    "DeepseekV3ForCausalLM": (
        {**_USUAL, **MLA, **ROUTED, "num_key_value_heads": 4, "n_group": 1, "topk_group": 1},
        WORKS,
    ),
    "DeepseekV2ForCausalLM": ({**_USUAL, **MLA, **ROUTED, "num_key_value_heads": 4}, WORKS),
    "Zamba2ForCausalLM": (
        {
            **_USUAL,
            "num_hidden_layers": 6,
            "layers_block_type": ["mamba", "hybrid", "mamba", "mamba", "hybrid", "mamba"],
            "num_mem_blocks": 1,
            "mamba_d_state": 4,
            "mamba_headdim": 8,
            "n_mamba_heads": 8,
            "mamba_ngroups": 1,
            "num_key_value_heads": 4,
            "chunk_size": 8,
            "use_shared_attention_adapter": True,
            "adapter_rank": 4,
            "hybrid_layer_ids": [1, 4],
        },
        WORKS,
    ),
    "Glm4MoeForCausalLM": ({**GROUPED, **ROUTED, "n_group": 1, "topk_group": 1}, WORKS),
    "JetMoeForCausalLM": ({**GROUPED, **SMALL_EXPERTS, "kv_channels": 8}, WORKS),
    "Gemma4ForCausalLM": (GROUPED, WORKS),
    "DogeForCausalLM": (GROUPED, WORKS),
    "GptOssForCausalLM": (
        {
            **GROUPED,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["full_attention"] * 3,
        },
        WORKS,
    ),
    "Llama4ForCausalLM": ({**GROUPED, "num_local_experts": 2, "intermediate_size_mlp": 64}, WORKS),
    "OlmoeForCausalLM": ({**_USUAL, "num_experts": 4, "num_experts_per_tok": 2}, WORKS),
    "PhimoeForCausalLM": ({**GROUPED, **SMALL_EXPERTS}, WORKS),
    "Cohere2ForCausalLM": (GROUPED, WORKS),
    "Qwen2ForCausalLM": (GROUPED, WORKS),
    "Qwen3MoeForCausalLM": ({**GROUPED, **EXPERTS}, WORKS),
    "Starcoder2ForCausalLM": (GROUPED, WORKS),
    "StableLmForCausalLM": (GROUPED, WORKS),
    "SmolLM3ForCausalLM": (GROUPED, WORKS),
    "HeliumForCausalLM": (GROUPED, WORKS),
    "GlmForCausalLM": (GROUPED, WORKS),
    "Glm4ForCausalLM": (GROUPED, WORKS),
    "Exaone4ForCausalLM": (GROUPED, WORKS),
    "Ernie4_5ForCausalLM": (GROUPED, WORKS),
    "SeedOssForCausalLM": (GROUPED, WORKS),
    "NemotronForCausalLM": (GROUPED, WORKS),
    "PersimmonForCausalLM": (_USUAL, WORKS),
    "MptForCausalLM": (
        {
            "vocab_size": 64,
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 3,
            "expansion_ratio": 2,
            "max_seq_len": 64,
            "pad_token_id": 0,
        },
        WORKS,
    ),
    "BloomForCausalLM": (
        {"vocab_size": 64, "hidden_size": 32, "n_layer": 3, "n_head": 4, "pad_token_id": 0},
        WORKS,
    ),
    "FalconForCausalLM": ({**_USUAL, "new_decoder_architecture": False}, WORKS),
    "GPTJForCausalLM": (GPTJ, WORKS),
    "CodeGenForCausalLM": (GPTJ, WORKS),
    "GPTNeoForCausalLM": (
        {
            "vocab_size": 64,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
            "window_size": 8,
        },
        WORKS,
    ),
    "GPTBigCodeForCausalLM": (
        {"vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
        WORKS,
    ),
    "CTRLModel": (
        {
            "vocab_size": 64,
            "n_positions": 64,
            "n_embd": 32,
            "dff": 64,
            "n_layer": 3,
            "n_head": 4,
            "pad_token_id": 0,
        },
        WORKS,
    ),
    "LongformerModel": ({**_USUAL, "attention_window": 8}, WORKS),
    "LEDModel": (
        {
            **SEQ2SEQ,
            "max_encoder_position_embeddings": 64,
            "max_decoder_position_embeddings": 64,
            "attention_window": 8,
        },
        WORKS,
    ),
    "BigBirdModel": ({**_USUAL, "block_size": 4, "num_random_blocks": 1}, WORKS),
    "MPNetModel": (_USUAL, WORKS),
    "ConvBertModel": ({**_USUAL, "embedding_size": 32, "conv_kernel_size": 3}, WORKS),
    "RoFormerModel": ({**_USUAL, "embedding_size": 32}, WORKS),
    "MegatronBertModel": (_USUAL, WORKS),
    "CamembertModel": (_USUAL, WORKS),
    "XLMRobertaModel": (_USUAL, WORKS),
    "LukeModel": ({**_USUAL, "entity_vocab_size": 10, "entity_emb_size": 16}, WORKS),
    "CLIPTextModel": (_USUAL, WORKS),
    "T5EncoderModel": (T5, WORKS),
    "PegasusModel": ({**SEQ2SEQ, "max_position_embeddings": 64}, WORKS),
    "MarianModel": ({**SEQ2SEQ, "max_position_embeddings": 64}, WORKS),
    "MT5Model": (T5, WORKS),
    "AlbertModel": ({**_USUAL, "embedding_size": 16}, "its weights are shared between layers"),
    "FNetModel": (
        {name: value for name, value in _USUAL.items() if name != "num_attention_heads"},
        "adapt 'all-linear'",
    ),
    "XLNetModel": (
        {
            "vocab_size": 64,
            "d_model": 32,
            "n_layer": 3,
            "n_head": 4,
            "d_inner": 64,
            "pad_token_id": 0,
        },
        "adapt 'all-linear'",
    ),
    "FunnelModel": (
        {
            "vocab_size": 64,
            "block_sizes": [1, 1],
            "d_model": 32,
            "n_head": 4,
            "d_head": 8,
            "d_inner": 64,
            "pad_token_id": 0,
        },
        "lists of blocks",
    ),
    "XLMModel": (XLM, "lists of blocks"),
    "FlaubertModel": (XLM, "lists of blocks"),
    "SqueezeBertModel": ({**_USUAL, "embedding_size": 32}, "No blocks were found"),
    "NystromformerModel": (
        {**_USUAL, "num_landmarks": 4, "segment_means_seq_len": 16},
        "inputs of a kind and length that it takes",
    ),
    "ReformerModel": (
        {
            "vocab_size": 64,
            "hidden_size": 32,
            "num_attention_heads": 4,
            "attention_head_size": 8,
            "feed_forward_size": 64,
            "attn_layers": ["local", "local"],
            "axial_pos_shape": [8, 8],
            "axial_pos_embds_dim": [16, 16],
            "max_position_embeddings": 64,
            "local_attn_chunk_length": 8,
            "pad_token_id": 0,
        },
        "does not keep a state for each token",
    ),
    "WhisperForConditionalGeneration": (SEQ2SEQ, "reads input_features, not tokens"),
    "Gemma3ForConditionalGeneration": (
        {
            "text_config": {**GROUPED, "sliding_window": 8},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
        },
        WORKS,
    ),
    "LlavaForConditionalGeneration": (
        {
            "text_config": {**GROUPED, "model_type": "llama"},
            "vision_config": {**VISION, "model_type": "clip_vision_model"},
        },
        WORKS,
    ),
    "Mistral3ForConditionalGeneration": (
        {
            "text_config": {**GROUPED, "model_type": "mistral"},
            "vision_config": {**VISION, "model_type": "pixtral", "head_dim": 8},
        },
        WORKS,
    ),
    "PaliGemmaForConditionalGeneration": (
        {
            "text_config": {**GROUPED, "model_type": "gemma"},
            "vision_config": {**VISION, "model_type": "siglip_vision_model"},
            "projection_dim": 32,
        },
        WORKS,
    ),
    "Qwen2_5_VLForConditionalGeneration": (
        {
            "text_config": {
                **GROUPED,
                "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
            },
            "vision_config": QWEN_VISION,
        },
        WORKS,
    ),
    "Qwen3_5ForConditionalGeneration": (
        {
            "text_config": {**GROUPED, **LINEAR_HEADS, "num_hidden_layers": 4},
            "vision_config": QWEN_VISION,
        },
        WORKS,
    ),
    "MllamaForConditionalGeneration": (
        {
            "text_config": {
                **_USUAL,
                "num_key_value_heads": 2,
                "num_hidden_layers": 4,
                "cross_attention_layers": [2],
            },
            "vision_config": {
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "attention_heads": 4,
                "intermediate_size": 64,
                "image_size": 16,
                "patch_size": 4,
                "vision_output_dim": 64,
                "intermediate_layers_indices": [0],
            },
        },
        "the batches may lack what they read",
    ),
    "CLIPModel": (
        {"text_config": _USUAL, "vision_config": VISION, "projection_dim": 16},
        "lists of blocks",
    ),
}

"""Write what llama.cpp says of some tokens, in a process of its own, for the library prints much.

python llama_cpp_logits.py MODEL.gguf ADAPTER.gguf|none OUT.npy TOKEN...
"""

import ctypes
import sys

import numpy as np


def main(model_path: str, adapter_path: str, out: str, *tokens: str) -> None:
    import llama_cpp  # not installed where this file is only collected

    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(model_path.encode(), options)
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 64
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = 0  # float32
    settings.flash_attn_type = 0
    context = llama_cpp.llama_init_from_model(model, settings)
    if adapter_path != "none":
        adapter = llama_cpp.llama_adapter_lora_init(model, adapter_path.encode())
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        assert llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales) == 0
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for position, token in enumerate(tokens):
        batch.token[position], batch.pos[position] = int(token), position
        batch.n_seq_id[position], batch.seq_id[position][0] = 1, 0
        batch.logits[position] = 1
    assert llama_cpp.llama_decode(context, batch) == 0
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    shape = len(tokens), vocabulary
    np.save(out, np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), shape))


if __name__ == "__main__":
    main(*sys.argv[1:])

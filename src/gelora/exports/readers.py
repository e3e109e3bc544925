"""What servers are known to refuse in an adapter whatever its ranks, in sentences for the user.

Read in vLLM 0.31 and 0.33, SGLang 0.5.23 and llama.cpp's converter of llama-cpp-python 0.3.36;
docs/serving.md has the table.
"""

from gelora.exports.saved import SavedAdapter

_VLLM_HEADS = frozenset({"classifier", "score"})


def reader_notes(adapter: SavedAdapter) -> tuple[str, ...]:
    """Return a sentence for each thing that a server refuses in the adapter."""
    config = adapter.config
    notes: list[str] = []
    if config.get("use_dora"):
        notes.append("vLLM, SGLang and llama.cpp take no DoRA adapter: serve the --merged model.")
    if config.get("lora_bias"):
        notes.append("vLLM and llama.cpp take no adapter with lora_bias: serve the --merged model.")
    bias = config.get("bias", "none")
    if bias != "none":
        notes.append(f"vLLM takes no adapter with bias={bias!r}: serve the --merged model.")
    heads = adapter.saved_modules()
    others = sorted(set(config.get("modules_to_save") or ()) - _VLLM_HEADS)
    if others:
        notes.append(
            f"vLLM takes no adapter that saves {', '.join(others)}, of modules_to_save only "
            "classifier and score: serve the --merged model."
        )
    if heads:
        notes.append(
            f"llama.cpp's converter takes no adapter that saves modules whole, as {heads[0]}: "
            "convert the --merged model."
        )
    return tuple(notes)

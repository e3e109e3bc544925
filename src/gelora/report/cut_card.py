"""The model card of a cut adapter, from `cut.json` and the card of the uncut adapter."""

from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from gelora.artifacts import write_text
from gelora.cutting.record import AdapterCut
from gelora.report.card import CARD_FILE, plain
from gelora.report.card_metadata import is_on_hub
from gelora.report.cut_section import block_rows, cut_decision
from gelora.report.tables import markdown_table
from gelora.report.templating import template

_NOT_KEPT = frozenset({"model-index", "eval_results", "model_name", "base_model"})
"""Metadata of the uncut adapter that does not hold for the cut one, or is written anew."""


def write_cut_card(folder: str | Path, source: str | Path, *, model: str) -> Path:
    """Write README.md of a cut adapter, and return its path.

    Args:
        folder: Folder of the cut adapter, with its `cut.json`.
        source: Folder of the uncut adapter; the metadata of its card is kept.
        model: Name or path of the base model. A path of the machine is not written.

    Raises:
        ArtifactError: `cut.json` is missing or cannot be read.
    """
    record = AdapterCut.from_pretrained(folder)
    before = Path(source) / CARD_FILE
    known = ModelCard.load(before).data.to_dict() if before.is_file() else {}
    is_public = is_on_hub(model)
    kept = {name: value for name, value in known.items() if name not in _NOT_KEPT}
    tags = [t for t in known.get("tags") or () if is_public or not t.startswith("base_model:")]
    metadata = ModelCardData(
        **{
            **kept,
            "library_name": "peft",
            "base_model": model if is_public else None,
            "tags": tags or ["lora", "gelora"],
        }
    )
    path = Path(folder) / CARD_FILE
    page = template("cut_card.md.jinja", functions={"plain": plain}).render(
        metadata=metadata.to_yaml(),
        model=model if is_public else Path(model).name,
        decision=cut_decision(record),
        rows=markdown_table(block_rows(record)),
        record=record,
    )
    write_text(path, page)
    return path

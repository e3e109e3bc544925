"""A plan as keys of an axolotl YAML file, to be put beside those of the data and the training."""

from pathlib import Path
from typing import Any

import yaml
from peft import LoraConfig

from gelora.artifacts import write_text
from gelora.errors import RankError
from gelora.exports.folders import check_file

_HEADER = (
    "# LoRA as gelora planned it; needs axolotl 0.19 or later. Put your data and training below.\n"
)


def axolotl_settings(config: LoraConfig) -> dict[str, Any]:
    """Return the keys of axolotl that give every module the rank and scale it has here.

    Args:
        config: As `lora_config` made it.

    Raises:
        RankError: An alpha is no whole number, which axolotl refuses.
    """
    alphas = {"all others": config.lora_alpha, **(config.alpha_pattern or {})}
    for name, alpha in alphas.items():
        if not isinstance(alpha, int):
            raise RankError(
                f"axolotl takes whole alphas, and that of {name} is {alpha:g}: leave out "
                "--use_rslora, or plan with another --scaling."
            )
    settings = {
        "base_model": config.base_model_name_or_path,
        "adapter": "lora",
        "lora_r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "lora_target_modules": sorted(config.target_modules or ()),
        "lora_rank_pattern": config.rank_pattern,
        "lora_alpha_pattern": config.alpha_pattern,
        "lora_modules_to_save": sorted(config.modules_to_save or ()),
        "lora_fan_in_fan_out": config.fan_in_fan_out,
        "peft_use_dora": config.use_dora,
        "peft_use_rslora": config.use_rslora,
        "peft_init_lora_weights": config.init_lora_weights,
    }
    unsaid = (None, {}, [], False)
    return {name: value for name, value in settings.items() if value not in unsaid}


def export_axolotl(config: LoraConfig, destination: str | Path, *, overwrite: bool = False) -> Path:
    """Write the keys of axolotl into a YAML file.

    Args:
        config: As `lora_config` made it.
        destination: The new file.
        overwrite: Replace the file.

    Raises:
        OutputExistsError: There is such a file.
        RankError: An alpha is no whole number, which axolotl refuses.
    """
    path = Path(destination)
    check_file(path, overwrite=overwrite)
    write_text(path, _HEADER + yaml.safe_dump(axolotl_settings(config), sort_keys=False))
    return path

"""`gelora evaluate`: an adapter and labelled texts in, metrics with standard errors out."""

from dataclasses import asdict, replace
from pathlib import Path

from peft import PeftConfig, PeftModel

from gelora.artifacts import ADAPTER_FOLDER
from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.tables import metrics_table
from gelora.errors import ArtifactError
from gelora.evaluation import evaluate


def main(config: Config) -> Output:
    """Evaluate an adapter, and show its metrics; nothing is written.

    Raises:
        ArtifactError: There is no adapter in the folder.
    """
    source = config.adapter_source.adapter
    folder = config.folder / ADAPTER_FOLDER if source is None else Path(source)
    if not (folder / "adapter_config.json").is_file():
        raise ArtifactError(f"{folder} holds no adapter: there is no adapter_config.json in it.")
    if config.model.model_name_or_path is None:
        named = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
        config = replace(config, model=replace(config.model, model_name_or_path=named))
    data = loading.load_data(config, labels_required=True)
    model, tokenizer = loading.load_with_head(config, data)
    metrics = evaluate(
        PeftModel.from_pretrained(model, str(folder)).to(loading.device()),
        tokenizer,
        data,
        batch_size=config.evaluation.per_device_eval_batch_size,
        max_length=config.data.max_length,
    )
    payload = {name: asdict(metric) for name, metric in metrics.items()}
    return Output(metrics_table(payload, {}), {"task": data.name, "metrics": payload})

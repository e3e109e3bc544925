"""A run's files as a real run leaves them, written without measuring or training anything."""

from pathlib import Path

import numpy as np

from gelora.artifacts import CONFIG_FILE, ENVIRONMENT_FILE, METRICS_FILE, write_json, write_text
from gelora.dimension.profile import (
    BlockModule,
    DecimatedDimensions,
    DimensionProfile,
    DimensionSeries,
    Verdict,
    sublayer_names,
)
from gelora.ranks import RankPlan, plan_ranks
from gelora.settings import Granularity, MeasurementSettings

NUM_QUANTILES = 50
FARTHER = {"gride_2": 0.97, "gride_4": 0.94, "gride_8": 0.9, "levina_bickel": 0.86}
"""What estimators that look farther give, as a share of the line's."""


def example_profile(
    stacks: tuple[tuple[str, ...], ...] | None = None,
    *,
    granularity: Granularity = "block",
    constant: bool = False,
    growth: float = 1.0,
    all_estimators: bool = False,
    noisy: tuple[int, ...] = (),
    duplicated: tuple[int, ...] = (),
) -> DimensionProfile:
    """Make a profile whose dimension rises by up to `growth` a block and falls near the end.

    At the `noisy` layers it falls with fewer samples, and at the `duplicated` ones the likelihood
    is far below the line.
    """
    if stacks is None:
        stacks = (tuple(f"encoder.layer.{i}" for i in range(12)),)
    rng = np.random.default_rng(0)
    layers: list[str] = []
    path: list[float] = []
    for blocks in stacks:
        prefix = f"{blocks[0].split('.')[0]}." if len(stacks) > 1 else ""
        own = [f"{prefix}embeddings", *sublayer_names(blocks, granularity)]
        rise = np.sin(np.linspace(0, 0.8 * np.pi, len(own))) * growth * len(blocks) / 3
        path += list(8.0 + rise + 0.1 * rng.standard_normal(len(own)))
        layers += own
    if constant:
        path[0] = 0.0
    dimensions = np.array(path)
    is_step = np.array([not layer.endswith("embeddings") for layer in layers])
    likelihood = dimensions * 0.95
    likelihood[list(duplicated)] *= 0.6
    series = {"twonn_linfit": dimensions, "twonn_mle": likelihood}
    if all_estimators:
        series |= {name: dimensions * share for name, share in FARTHER.items()}
    verdicts: list[Verdict] = ["stable"] * len(layers)
    for layer in range(len(layers)):
        if layer in noisy:
            verdicts[layer] = "noisy"
        if layer in duplicated:
            verdicts[layer] = "duplicated"
        if constant and layer == 0:
            verdicts[layer] = "constant"
    blocks = tuple(block for blocks in stacks for block in blocks)
    return DimensionProfile(
        settings=MeasurementSettings(pooling="mean", granularity=granularity),
        series={name: _series(values, is_step) for name, values in series.items()},
        layers=tuple(layers),
        blocks=blocks,
        modules=tuple(
            module for index, name in enumerate(blocks) for module in _modules(name, index)
        ),
        fingerprint={"model_type": "roberta", "architecture": "ab" * 32},
        seed=42,
        num_texts=4000,
        stopped_by="num_samples",
        num_used=3871,
        num_duplicates=120,
        num_near_duplicates=9,
        forward_tokens=112_345,
        constant_layers=(0,) if constant else (),
        log_mu_quantiles=tuple(_log_mu(dimension, rng) for dimension in dimensions),
        decimation=tuple(_decimated(dimensions, noisy, parts, rng) for parts in (1, 2, 4, 8)),
        verdicts=tuple(verdicts),
        biased_layers=tuple(i for i, d in enumerate(path) if d >= 10),
        top_variance_shares=tuple(0.05 + 0.6 * i / len(layers) for i in range(len(layers))),
    )


def _modules(block: str, index: int) -> list[BlockModule]:
    attention = [
        BlockModule(f"{block}.attention.self.{role}", index, role, 768, 768)
        for role in ("query", "key", "value", "output")
    ]
    return [
        *attention,
        BlockModule(f"{block}.intermediate", index, "mlp", 768, 3072),
        BlockModule(f"{block}.output", index, "mlp", 3072, 768),
    ]


def _decimated(
    dimensions: np.ndarray, noisy: tuple[int, ...], parts: int, rng: np.random.Generator
) -> DecimatedDimensions:
    errors = 0.02 * dimensions * (1 + np.log2(parts) / 4)
    found = dimensions * (1 + (0.01 * rng.standard_normal(len(dimensions)) if parts > 1 else 0))
    found[list(noisy)] *= parts**-0.15
    return DecimatedDimensions(3871 // parts, tuple(found.tolist()), tuple(errors.tolist()))


def _series(dimensions: np.ndarray, is_step: np.ndarray) -> DimensionSeries:
    increments = np.diff(dimensions, prepend=0.0)[is_step]
    return DimensionSeries(
        dimensions=tuple(map(float, dimensions)),
        standard_errors=tuple(map(float, 0.02 * dimensions)),
        increments=tuple(map(float, increments)),
        increment_standard_errors=tuple(0.07 for _ in increments),
    )


def _log_mu(dimension: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Quantiles of the law TwoNN assumes, with the longer tail that real data has."""
    if dimension == 0:
        return ()
    height = -np.log1p(-(np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES)
    noise = 1 + 0.03 * rng.standard_normal(NUM_QUANTILES) + 0.06 * np.maximum(height - 2, 0)
    return tuple(map(float, np.sort(height / dimension * noise)))


def write_example_run(
    folder: Path,
    *,
    profile: DimensionProfile | None = None,
    trained: bool = True,
    budget: str | None = None,
    rank_rule: str | None = None,
    target_modules: str = "attention",
    task: str = "cola",
) -> RankPlan:
    """Write a run's files into `folder`: measured and planned, and if `trained` all the others."""
    profile = profile or example_profile()
    plan = plan_ranks(profile, budget=budget, rank_rule=rank_rule, target_modules=target_modules)
    profile.save_pretrained(folder)
    plan.save_pretrained(folder)
    if trained:
        write_json(folder / METRICS_FILE, example_metrics(plan, task=task), kind="metrics")
        write_json(folder / ENVIRONMENT_FILE, example_environment(), kind="environment")
        write_text(folder / CONFIG_FILE, CONFIG)
    return plan


def example_metrics(plan: RankPlan, *, task: str = "cola") -> dict:
    history: list[dict] = []
    for step in range(10, 801, 10):
        loss = 0.35 + 0.35 * float(np.exp(-step / 250)) + 0.03 * float(np.sin(step))
        history.append({"step": step, "epoch": step / 268, "loss": loss})
        if step % 200 == 0:
            history.append({
                "step": step,
                "epoch": step / 268,
                "eval_loss": loss + 0.06,
                "eval_matthews_correlation": 0.5 - 0.3 * float(np.exp(-step / 250)),
            })  # fmt: skip
    history.append({"step": 804, "epoch": 3.0, "train_loss": 0.44, "train_runtime": 312.0})
    return {
        "task": task,
        "problem": "classification",
        "num_labels": 2,
        "label_names": ["unacceptable", "acceptable"],
        "headline_metric": "matthews_correlation",
        "model": "FacebookAI/roberta-base",
        "metrics": {
            "accuracy": _metric(0.812, 0.0121),
            "matthews_correlation": _metric(0.4931, 0.0287),
        },
        "baselines": {
            "frozen_encoder": {
                "accuracy": _metric(0.724, 0.0138),
                "matthews_correlation": _metric(0.2214, 0.0312),
            },
            "majority": {
                "accuracy": _metric(0.6913, 0.0143),
                "matthews_correlation": _metric(0.0, 0.0),
            },
        },
        "trainable_parameters": {"adapter": plan.trainable_parameters, "head": 592_130},
        "seconds": {"measure": 41.2, "train": 312.0, "evaluate": 4.8},
        "peak_memory_bytes": 2_147_483_648,
        "seed": 42,
        "history": history,
        "plan_hash": plan.content_hash(),
    }


def _metric(value: float, standard_error: float) -> dict:
    return {"value": value, "standard_error": standard_error, "num_samples": 1043}


def example_environment() -> dict:
    return {
        "command": ["gelora", "run", "--task_name", "cola", "--output_dir", "runs/my run"],
        "python": "3.11.7",
        "packages": {"torch": "2.13.0+cpu", "peft": "0.21.2", "transformers": "5.23.0"},
        "platform": "Linux-6.1.0-x86_64",
        "processor_count": 2,
        "device": "cpu",
        "git_commit": None,
        "model_revision": None,
        "data": {
            "train": {**HUB, "split": "train", "rows": 8551, "skipped": 0},
            "validation": {**HUB, "split": "validation", "rows": 1043, "skipped": 0},
        },
    }


HUB = {"dataset": "nyu-mll/glue", "config": "cola", "revision": "0123456789abcdef"}

CONFIG = """\
# gelora run --config runs/cola/config.yaml
learning_rate: 0.0002
model_name_or_path: FacebookAI/roberta-base
num_train_epochs: 3
output_dir: runs/cola
seed: 42
task_name: cola
"""

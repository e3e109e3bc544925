"""The rows of the report's tables and its list of facts, as text.

They say what the files hold, number by number; sentences about it are in `wording`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gelora.dimension.drift import verdict_word, verdict_words
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import certainty
from gelora.report import wording
from gelora.report.run_files import RunFiles
from gelora.report.stacks import short_names
from gelora.report.trust_figures import ESTIMATORS


@dataclass(frozen=True)
class SublayerRow:
    """One row of the table of sublayers."""

    number: str
    path: str
    dimension: str
    increment: str
    bound: int
    rank: int
    certainty: str
    modules: int
    parameters: str


@dataclass(frozen=True)
class LayerRow:
    """One row of the table of layers.

    Attributes:
        name: The layer's.
        dimension: By the profile's estimator.
        others: By the others of `estimators`.
        part: The dimension by the smallest parts of the samples.
        share: Of the variance, in three coordinates.
        verdict: How far to trust the dimension: verdict, drift and bias.
        is_stable: Whether the verdict is stable, without a drift.
    """

    name: str
    dimension: str
    others: tuple[str, ...]
    part: str
    share: str
    verdict: str
    is_stable: bool


def estimators(run: RunFiles) -> list[str]:
    """Return the names of the profile's estimators, its own first."""
    others = [name for name in ESTIMATORS if name in run.profile.series]
    return sorted(others, key=lambda name: name != run.profile.settings.estimator)


def layer_rows(run: RunFiles) -> list[LayerRow]:
    """Return a row for every layer."""
    profile = run.profile
    _, *others = [profile.series[name].dimensions for name in estimators(run)]
    smallest = profile.decimation[-1]
    return [
        LayerRow(
            name=name,
            dimension=wording.with_error(
                profile.dimensions[i], profile.standard_errors[i], decimals=2
            ),
            others=tuple(wording.number(dimensions[i], 2) for dimensions in others),
            part=wording.number(smallest.dimensions[i], 2),
            share=f"{100 * profile.top_variance_shares[i]:.0f} %",
            verdict=verdict_words(profile, i),
            is_stable=verdict_word(profile, i) == "stable",
        )
        for i, name in enumerate(short_names(profile))
    ]


def sublayer_rows(profile: DimensionProfile, plan: RankPlan) -> list[SublayerRow]:
    """Return a row for every sublayer."""
    modules = Counter(
        profile.sublayer_of(module) for module in profile.modules if module.name in plan.modules
    )
    names = short_names(profile)
    rows: list[SublayerRow] = []
    per_block = len(profile.sublayers) // len(profile.blocks)
    for sublayer in range(len(profile.sublayers)):
        layer = profile.layer_of(sublayer)
        rows.append(
            SublayerRow(
                number=names[layer].removeprefix("block "),
                path=profile.blocks[sublayer // per_block],
                dimension=wording.with_error(
                    profile.dimensions[layer], profile.standard_errors[layer], decimals=2
                ),
                increment=wording.with_error(
                    profile.increments[sublayer],
                    profile.increment_standard_errors[sublayer],
                    decimals=2,
                    sign=True,
                ),
                bound=plan.bounds[sublayer],
                rank=plan.ranks[sublayer],
                certainty=certainty(plan, sublayer),
                modules=modules[sublayer],
                parameters=f"{plan.parameters[sublayer]:,}",
            )
        )
    return rows


def modules_note(run: RunFiles) -> str:
    """Say which modules are adapted, by their parts in a block."""
    roles = dict.fromkeys(m.role for m in run.profile.modules if m.name in run.plan.modules)
    words = {"query_key_value": "fused query-key-value", "mlp": "MLP"}
    names = [words.get(role, role) for role in roles]
    return f"Adapted in each block: {', '.join(names)}."


def facts(run: RunFiles, more_hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return how the run was made, as pairs of a heading and its text.

    Args:
        run: Its files.
        more_hashes: By name, the content hashes of files that further sections show.
    """
    profile, environment = run.profile, run.environment
    hashes = run.hashes() | dict(more_hashes)
    halves = profile.settings.granularity == "sublayer"
    places = "after both halves of every block" if halves else "after every block"
    found = [
        ("Model", run.model),
        ("Model revision", environment.get("model_revision")),
        ("Data", _flatten(environment.get("data"), ": ", "; ")),
        ("Measured", f"{profile.num_used:,} samples, {profile.forward_tokens:,} tokens"),
        ("States", f"{profile.settings.states}, {profile.settings.pooling} pooling, {places}"),
        ("Estimator", estimator_words(profile)),
        ("Rule", f"{run.plan.settings.rule}, dimensions rounded {run.plan.settings.rounding}"),
        ("Scale alpha/r", f"{run.plan.scaling:g} in every module"),
        ("Seed", f"{profile.seed} for measuring"),
    ]
    if run.metrics is not None:
        trainable = run.metrics["trainable_parameters"]
        seconds = run.metrics["seconds"]
        peak = run.metrics.get("peak_memory_bytes")
        found += [
            ("Seed", f"{run.metrics['seed']} for training"),
            ("Parameters", ", ".join(f"{part} {n:,}" for part, n in sorted(trainable.items()))),
            ("Time", ", ".join(f"{k} {wording.duration(seconds[k])}" for k in sorted(seconds))),
            ("Peak memory", f"{peak / 1e9:.2f} GB" if peak else None),
        ]
    processors = environment.get("processor_count")
    found += [
        ("Device", environment.get("device")),
        ("Processors", str(processors) if processors else None),
        ("Platform", environment.get("platform")),
        ("Python", environment.get("python")),
        ("Packages", _flatten(environment.get("packages"))),
        ("Git commit", environment.get("git_commit")),
        ("Hashes", " → ".join(f"{name} {hash_[:16]}" for name, hash_ in hashes.items())),
    ]
    return [(heading, str(text)) for heading, text in found if text]


def estimator_words(profile: DimensionProfile) -> str:
    """Return the profile's estimator, and what it leaves out."""
    if profile.settings.estimator != "twonn_linfit":
        return profile.settings.estimator
    return f"twonn_linfit, largest {100 * profile.settings.discard_fraction:g} % discarded"


def _flatten(value: object, colon: str = " ", comma: str = ", ") -> str:
    """Return a JSON value on one line, in words rather than brackets."""
    if isinstance(value, Mapping):
        known = {key: one for key, one in sorted(value.items()) if one is not None}
        return comma.join(f"{key}{colon}{_flatten(one)}" for key, one in known.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_flatten, value))
    return "" if value is None else str(value)

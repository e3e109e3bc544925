"""Measuring in growing parts, from kept states, and in several processes, is the same measuring."""

import json

import numpy as np
import pytest

import measure_together
from gelora.errors import (
    ArtifactError,
    ConfigError,
    NonFiniteStatesError,
    OutputExistsError,
    TooFewSamplesError,
)
from gelora.hidden_states import measure_dimensions, measure_hidden_states
from gelora.ranks import plan_ranks
from tiny_models import tiny_bert, tiny_gpt2, tiny_t5, tiny_texts, tiny_tokenizer

FIRST_SIZE = 100
SIZES = [100, 141, 200, 283, 300]

pytestmark = [
    # Random models on a few random texts.
    pytest.mark.filterwarnings("ignore::gelora.errors.UnstableDimensionWarning"),
    pytest.mark.filterwarnings("ignore::gelora.errors.ConstantStatesWarning"),
    pytest.mark.filterwarnings("ignore::gelora.errors.DuplicateSamplesWarning"),
]


@pytest.fixture(autouse=True)
def small_first_part(monkeypatch):
    monkeypatch.setattr("gelora.hidden_states.growth.FIRST_SIZE", FIRST_SIZE)


def measure(model=None, texts=None, **arguments):
    texts = tiny_texts(300) if texts is None else texts
    return measure_dimensions(model or tiny_bert(), tiny_tokenizer(), texts, **arguments)


def texts_with_copies():
    texts = tiny_texts(280)
    return [*texts, *texts[:20]]


def ever_other_ranks():
    """Return a rule that never gives the same ranks again."""
    ranks = iter(range(10**6))
    return lambda _profile: [next(ranks)]


def to_the_cap(**arguments):
    return measure(precision=1e-9, ranks=ever_other_ranks(), **arguments)


def assert_same_up_to_rounding(one, other):
    assert one.num_used == other.num_used
    assert one.num_texts == other.num_texts
    assert one.num_duplicates == other.num_duplicates
    for name, series in one.series.items():
        for values, expected in zip(
            vars(series).values(), vars(other.series[name]).values(), strict=True
        ):
            np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_t5])
def test_the_cap_gives_what_measuring_at_once_does(make):
    texts = texts_with_copies()
    grown, at_once = to_the_cap(model=make(), texts=texts), measure(make(), texts)
    assert (grown.stopped_by, grown.settings.precision) == ("num_samples", 1e-9)
    assert (at_once.stopped_by, at_once.settings.precision) == ("num_samples", None)
    assert_same_up_to_rounding(grown, at_once)
    assert grown.verdicts == at_once.verdicts


def test_an_early_stop_gives_what_measuring_so_many_does():
    texts = texts_with_copies()
    early = measure(texts=texts, precision=100.0)
    assert (early.stopped_by, early.num_texts) == ("precision", FIRST_SIZE)
    assert_same_up_to_rounding(early, measure(texts=texts, num_samples=FIRST_SIZE))
    assert early.forward_tokens < measure(texts=texts).forward_tokens


def test_stable_ranks_stop_after_three_growths():
    seen = []

    def ranks(profile):
        seen.append(profile.num_texts)
        return plan_ranks(profile, max_rank=1).ranks

    profile = measure(precision=1e-9, ranks=ranks)
    assert (profile.stopped_by, profile.num_texts) == ("stable_ranks", SIZES[3])
    assert set(seen) == set(SIZES[:4])


def test_all_sizes_are_tried_on_the_way_to_the_cap():
    seen = []
    profile = measure(precision=1e-9, ranks=lambda profile: [seen.append(profile), len(seen)])
    assert profile.num_texts == SIZES[-1]
    assert sorted({one.num_texts for one in seen}) == SIZES


def test_a_precision_that_all_texts_reach_is_reached():
    profile = measure(precision=100.0, num_samples=FIRST_SIZE)
    assert (profile.stopped_by, profile.num_texts) == ("precision", FIRST_SIZE)


@pytest.mark.parametrize("precision", [None, 0.0, 0])
def test_without_precision_there_is_one_part(precision):
    def ranks(_profile):
        raise AssertionError("nothing was to be decided")

    assert measure(precision=precision, ranks=ranks) == measure()


def test_no_text_passes_the_model_twice():
    model, lengths = tiny_bert(), []
    model.register_forward_pre_hook(
        lambda _module, _args, inputs: lengths.append(inputs["input_ids"].shape), with_kwargs=True
    )
    profile = to_the_cap(model=model, texts=texts_with_copies(), measure_batch_tokens=100)
    assert lengths.pop(0)[0] == 1  # to see which modules a gradient reaches
    assert sum(rows for rows, _ in lengths) == 280
    assert (profile.num_texts, profile.num_duplicates) == (300, 20)
    assert profile.forward_tokens == sum(rows * tokens for rows, tokens in lengths)
    assert all(rows * tokens <= 100 for rows, tokens in lengths)


def test_a_part_with_too_few_that_differ_is_not_the_end(monkeypatch):
    monkeypatch.setattr("gelora.hidden_states.growth.FIRST_SIZE", 40)
    profile = measure(precision=100.0)
    assert (profile.stopped_by, profile.num_texts) == ("precision", 57)
    with pytest.raises(TooFewSamplesError, match="needs 50 samples, and 45 of 45 are left"):
        measure(precision=100.0, num_samples=45)


@pytest.mark.parametrize("precision", [None, 100.0])
def test_kept_states_give_the_profile_again(precision, tmp_path):
    kept = measure(precision=precision, keep_hidden_states=tmp_path / "kept", seed=4)
    again = measure_hidden_states(tmp_path / "kept")
    assert again.content_hash() == kept.content_hash()
    assert again == kept == measure(precision=precision, seed=4)


def test_kept_states_serve_other_estimators(tmp_path):
    all_at_once = measure(keep_hidden_states=tmp_path / "kept", all_estimators=True)
    for name in ("gride_4", "levina_bickel"):
        profile = measure_hidden_states(tmp_path / "kept", estimator=name, discard_fraction=0.2)
        assert (profile.settings.estimator, profile.settings.discard_fraction) == (name, 0.2)
        assert profile.series[name] == all_at_once.series[name]
    every = measure_hidden_states(tmp_path / "kept", all_estimators=True)
    assert every.series.keys() == all_at_once.series.keys()
    with pytest.raises(ConfigError, match="Got 'mle'"):
        measure_hidden_states(tmp_path / "kept", estimator="mle")
    with pytest.raises(ConfigError, match="pooling was decided when the states in .* were kept"):
        measure_hidden_states(tmp_path / "kept", pooling="last")


def test_what_is_there_stops_before_the_model_runs(tmp_path):
    measure(keep_hidden_states=tmp_path / "kept")
    model = tiny_bert()
    model.register_forward_pre_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(OutputExistsError, match="kept exists"):
        measure(model, keep_hidden_states=tmp_path / "kept")


def test_states_are_replaced_when_asked_and_only_by_a_whole_measurement(tmp_path):
    kept = measure(keep_hidden_states=tmp_path / "kept")
    with pytest.raises(TooFewSamplesError):
        measure(num_samples=40, keep_hidden_states=tmp_path / "kept", overwrite=True)
    assert measure_hidden_states(tmp_path / "kept") == kept
    again = measure(num_samples=200, keep_hidden_states=tmp_path / "kept", overwrite=True)
    assert measure_hidden_states(tmp_path / "kept") == again != kept


def test_a_measurement_that_fails_keeps_no_states(tmp_path):
    model = tiny_bert()
    model.embeddings.word_embeddings.weight.data[7] = float("inf")
    with pytest.raises(NonFiniteStatesError):
        measure(model, keep_hidden_states=tmp_path / "kept")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArtifactError, match="kept holds no hidden states: keep them when you"):
        measure_hidden_states(tmp_path / "kept")


def test_two_processes_give_the_bytes_of_one(tmp_path):
    alone = measure_together.profiles(tmp_path / "alone")
    ended = measure_together.in_processes(tmp_path / "together")
    assert [process.returncode for process in ended] == [0, 0]
    for process in ended:
        assert json.loads(process.stdout) == alone
    files = sorted((tmp_path / "alone").iterdir())
    assert len(files) > 1
    for path in files:
        assert (tmp_path / "together" / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_process_waits_for_one_that_failed(tmp_path):
    ended = measure_together.in_processes(tmp_path / "together", "--failing")
    assert all(process.returncode for process in ended)
    assert "RuntimeError: the second process fails" in ended[1].stderr
    assert not (tmp_path / "together").exists()

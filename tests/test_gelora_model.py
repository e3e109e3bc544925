"""One call does what its five steps do, and its config is both settings in one."""

import pytest
from peft import PeftModel, get_peft_model

import gelora
from gelora.errors import ConfigError
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer

TEXTS = tiny_texts(80)


@pytest.mark.filterwarnings("ignore::gelora.errors.UnstableDimensionWarning")
def test_get_gelora_model_does_what_its_steps_do():
    config = gelora.GeloraConfig(
        num_samples=70, budget="r=4", target_modules="all-linear", lora_arguments={"use_dora": True}
    )
    model = gelora.get_gelora_model(tiny_bert(), tiny_tokenizer(), TEXTS, config, seed=3)
    assert isinstance(model, PeftModel)
    profile = gelora.measure_dimensions(
        tiny_bert(), tiny_tokenizer(), TEXTS, num_samples=70, seed=3, target_modules="all-linear"
    )
    plan = gelora.plan_ranks(profile, budget="r=4", target_modules="all-linear")
    by_hand = tiny_bert()
    by_hand = get_peft_model(by_hand, gelora.lora_config(by_hand, plan, use_dora=True))
    assert (model.dimension_profile, model.rank_plan) == (profile, plan)
    assert model.peft_config["default"].to_dict() == by_hand.peft_config["default"].to_dict()
    gelora.verify_ranks(model, plan)


def test_a_config_holds_both_settings_and_checks_them():
    config = gelora.GeloraConfig(budget="r=8", pooling="first")
    assert config.measurement == gelora.MeasurementSettings(pooling="first")
    assert config.ranks == gelora.RankSettings(budget="r=8")
    with pytest.raises(ConfigError, match="pooling must be one of mean, last, first. Got 'max'"):
        gelora.GeloraConfig(pooling="max")
    with pytest.raises(ConfigError, match="spends no budget"):
        gelora.GeloraConfig(rank_rule="paper", budget="r=8")
    with pytest.raises(TypeError, match="rank"):
        gelora.GeloraConfig(rank=8)


def test_settings_are_changed_by_name():
    settings = gelora.RankSettings(max_rank=9)
    assert settings.updated({"min_rank": 2}) == gelora.RankSettings(min_rank=2, max_rank=9)
    with pytest.raises(ConfigError, match="no setting alpha_per_rank. It is now scaling"):
        settings.updated({"alpha_per_rank": 1.0})
    with pytest.raises(ConfigError, match="It is now 'twonn_linfit'"):
        gelora.MeasurementSettings(estimator="twonn_line")

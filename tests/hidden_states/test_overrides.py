"""Settings of a model's config as text: read as the kind they replace, refused with a reason."""

import pytest
from transformers import BertConfig, DebertaV2Config, LlamaConfig

from gelora.errors import ConfigError
from gelora.hidden_states.loading import load_model
from gelora.hidden_states.overrides import override
from tiny_models import save_tiny, tiny_deberta, tiny_tokenizer


@pytest.mark.parametrize(
    ("config", "settings", "name", "value"),
    [
        (BertConfig(), "hidden_dropout_prob=0", "hidden_dropout_prob", 0.0),
        (BertConfig(), "hidden_act=relu", "hidden_act", "relu"),
        (BertConfig(), "classifier_dropout=0.3", "classifier_dropout", 0.3),
        (BertConfig(), "use_cache=False", "use_cache", False),
        (BertConfig(hidden_dropout_prob=0), "hidden_dropout_prob=0.2", "hidden_dropout_prob", 0.2),
        (LlamaConfig(), " num_hidden_layers = 3 , attention_dropout=.5", "num_hidden_layers", 3),
        (DebertaV2Config(), "cls_dropout=0.15", "cls_dropout", 0.15),
    ],
)
def test_a_value_is_of_the_kind_that_it_replaces(config, settings, name, value):
    override(config, settings)
    found = getattr(config, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("cls_dropout=0.1", "config of a bert model has no setting 'cls_dropout'"),
        ("hidden_dropout=0.1", "'hidden_dropout': did you mean hidden_dropout_prob"),
        ("hidden_dropout_prob", "takes NAME=VALUE, separated by commas. Got 'hidden_dropout_prob'"),
        ("use_cache=maybe", "cannot set use_cache, which is True, to 'maybe'"),
        ("num_hidden_layers=many", "cannot set num_hidden_layers, which is 12, to 'many'"),
    ],
)
def test_what_is_no_setting_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        override(BertConfig(), settings)


def test_the_model_is_built_with_them(tmp_path):
    save_tiny(tiny_deberta(), tiny_tokenizer(), tmp_path)
    options = {"task": "classification", "config_overrides": "cls_dropout=0.25"}
    model = load_model(str(tmp_path), **options)
    assert model.dropout.p == 0.25
    assert model.config.num_labels == 2

"""Which head a model has, by its class; what is told where the class does not say."""

import pytest
import torch
import transformers as hf
from peft import get_peft_model
from torch import nn

from example_profiles import profile_of
from gelora.adapters import lora_config
from gelora.errors import FrozenHeadWarning, RankError
from gelora.hidden_states.task_head import Head, find_head, new_head
from gelora.ranks import plan_ranks
from tiny_models import TINY_MODELS, tiny_bart, tiny_bert, tiny_gpt2, tiny_t5, tiny_vit


class Tagger(nn.Module):
    """A head of one's own on a backbone."""

    def __init__(self):
        super().__init__()
        self.encoder = tiny_bert()
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(32, 2))


class BertTagger(hf.BertPreTrainedModel):
    """The same as a class of transformers' kind, which does not name its head."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = hf.BertModel(config)
        self.tags = nn.Linear(config.hidden_size, 2)


class OwnForSequenceClassification(hf.BertModel):
    """A head that lies among the parts of the backbone."""

    def __init__(self, config):
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, 2)


def bert_tagger():
    return BertTagger(tiny_bert().config)


def tiny_siglip():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return hf.SiglipForImageClassification(
        hf.SiglipConfig(text_config=sizes, vision_config={**sizes, "image_size": 32})
    )


@pytest.mark.parametrize(
    ("model", "head"),
    [
        (lambda: tiny_t5(hf.T5ForQuestionAnswering), Head(None, ("qa_outputs",), True)),
        (lambda: tiny_t5(hf.T5EncoderModel), Head(None, (), False)),
        (lambda: tiny_vit(hf.ViTForImageClassification), Head(None, ("classifier",), True)),
        (tiny_siglip, Head(None, ("classifier",), True)),
        (lambda: tiny_gpt2(hf.GPT2LMHeadModel), Head("CAUSAL_LM", ("lm_head",), False)),
        (
            lambda: tiny_bart(hf.BartForConditionalGeneration),
            Head("SEQ_2_SEQ_LM", ("lm_head",), False),
        ),
        (lambda: tiny_bert(hf.BertForMaskedLM), Head(None, ("cls",), False)),
        (Tagger, Head(None, ("head",), None)),
        (bert_tagger, Head(None, ("tags",), None)),
        (lambda: nn.ModuleList([nn.ModuleList([Tagger()])])[0], Head(None, ("0.head",), None)),
    ],
)
def test_find_head_tells_task_and_modules(model, head):
    assert find_head(model()) == head


@pytest.mark.parametrize("name", TINY_MODELS)
def test_find_head_finds_none_on_a_backbone(name):
    assert find_head(TINY_MODELS[name]()) == Head(None, (), False)


@pytest.mark.parametrize(("model", "head"), [(Tagger, "head"), (bert_tagger, "tags")])
def test_lora_config_warns_of_an_unknown_head_and_trains_it_when_named(model, head):
    model = model()
    plan = plan_ranks(profile_of(model))
    with pytest.warns(FrozenHeadWarning, match=rf"whether {head} .* what is new as modules_to"):
        lora_config(model, plan)
    assert lora_config(model, plan, modules_to_save=[]).modules_to_save == []
    wrapped = get_peft_model(model, lora_config(model, plan, modules_to_save=[head]))
    trained = [n for n, p in wrapped.named_parameters() if p.requires_grad and "lora_" not in n]
    assert trained
    assert all(f".{head}." in name for name in trained)


def test_lora_config_warns_of_a_head_that_it_cannot_tell_from_the_backbone():
    model = tiny_bert(OwnForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    with pytest.warns(FrozenHeadWarning, match="whether embeddings, pooler, classifier beside"):
        assert lora_config(model, plan).modules_to_save is None
    assert lora_config(model, plan, modules_to_save=["classifier"]).task_type == "SEQ_CLS"
    with pytest.warns(FrozenHeadWarning, match="whether embeddings, pooler, classifier beside"):
        assert new_head(model, "classification") == []


def test_lora_config_warns_of_a_head_that_modules_to_save_leave_out():
    model = TINY_MODELS["deberta"](hf.DebertaV2ForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    with pytest.warns(FrozenHeadWarning, match="leaves out pooler of the new head"):
        config = lora_config(model, plan, modules_to_save=["classifier"])
    assert config.modules_to_save == ["classifier"]
    lora_config(model, plan, modules_to_save=["classifier", "pooler"])
    assert lora_config(model, plan, task_type=None).modules_to_save == ["classifier", "pooler"]


def test_lora_config_keeps_the_trained_head_of_a_checkpoint_trainable():
    model = tiny_bert(hf.BertForSequenceClassification)
    before = model.classifier.weight.clone()
    wrapped = get_peft_model(model, lora_config(model, plan_ranks(profile_of(model))))
    weight = wrapped.get_base_model().classifier.modules_to_save["default"].weight
    assert weight.requires_grad
    assert torch.equal(weight, before)


def test_lora_config_refuses_a_head_that_peft_would_find_in_the_backbone():
    class DenseForSequenceClassification(hf.BertForSequenceClassification):
        def __init__(self, config):
            super().__init__(config)
            self.dense = nn.Linear(32, 32)

    model = tiny_bert(DenseForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    with pytest.raises(RankError, match=r"train bert.encoder.layer.0.* ends in 'dense' as"):
        lora_config(model, plan)
    model.head_dense = model.dense
    del model.dense
    assert lora_config(model, plan).modules_to_save == ["classifier", "head_dense"]


def test_lora_config_refuses_modules_to_save_that_the_model_does_not_have():
    model = tiny_bert(hf.BertForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    with pytest.raises(RankError, match="names 'nonsense', and no module of BertForSeq.* ends in"):
        lora_config(model, plan, modules_to_save=["classifier", "nonsense"])

"""Batches of a model's inputs are measured as texts are, and refused where they cannot be."""

import pytest
import torch
import transformers as hf
from peft import get_peft_model
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import gelora
import gelora.hidden_states.growth
from gelora.errors import (
    ArchitectureError,
    ConfigError,
    DataError,
    DuplicateSamplesWarning,
    TooFewSamplesError,
)
from gelora.hidden_states import measure_dimensions, measure_hidden_states
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import find_architecture
from tiny_models import (
    NUM_BLOCKS,
    tiny_bert,
    tiny_gpt2,
    tiny_images,
    tiny_t5,
    tiny_texts,
    tiny_tokenizer,
    tiny_vit,
    tiny_wav2vec2,
    tiny_waves,
    tiny_whisper,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::gelora.errors.UnstableDimensionWarning"),
    pytest.mark.filterwarnings("ignore::gelora.errors.ConstantStatesWarning"),
    # peft 0.21 calls what transformers 5.23 is about to rename.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

IMAGES = tiny_images(128)


def collate(texts):
    return tiny_tokenizer()(texts, padding=True, return_tensors="pt")


def tokenised(texts, batch_size=16):
    return DataLoader(texts, batch_size=batch_size, collate_fn=collate)


@pytest.mark.parametrize("model", [tiny_bert(), tiny_gpt2(), tiny_t5()], ids=type)
def test_tokens_from_a_loader_give_the_profile_of_their_texts(model):
    texts = tiny_texts(150)
    texts += texts[:3]
    of_texts = measure_dimensions(model, tiny_tokenizer(), texts, num_samples=140, seed=3)
    of_inputs = measure_dimensions(model, None, tokenised(texts), num_samples=140, seed=3)
    assert of_inputs.num_used == of_texts.num_used
    assert of_inputs.num_duplicates == of_texts.num_duplicates > 0
    assert of_inputs.settings == of_texts.settings
    assert of_inputs.fingerprint == of_texts.fingerprint
    assert of_inputs.dimensions == pytest.approx(of_texts.dimensions, rel=1e-4)
    assert of_inputs.increments == pytest.approx(of_texts.increments, rel=1e-3, abs=1e-3)


def test_one_batch_gives_the_states_of_the_texts_to_the_bit(tmp_path):
    texts = [text for text in tiny_texts(900) if len(text.split()) == 6][:60]
    for name, tokenizer, data in (
        ("texts", tiny_tokenizer(), texts),
        ("inputs", None, tokenised(texts, batch_size=len(texts))),
    ):
        folder = tmp_path / name
        measure_dimensions(tiny_bert(), tokenizer, data, keep_hidden_states=folder)
    files = sorted((tmp_path / "texts").glob("*.npy"))
    assert len(files) == NUM_BLOCKS + 1
    for path in files:
        # The batches hold the same rows in two orders, and the store has the order of the draw.
        assert path.read_bytes() == (tmp_path / "inputs" / path.name).read_bytes()


MODELS = {
    "vit": (tiny_vit, IMAGES),
    "vit with a head": (lambda: tiny_vit(hf.ViTForImageClassification), IMAGES),
    "clip": (
        lambda: hf.CLIPVisionModel(
            hf.CLIPVisionConfig(
                hidden_size=32,
                num_hidden_layers=NUM_BLOCKS,
                num_attention_heads=4,
                intermediate_size=64,
                image_size=16,
                patch_size=4,
            )
        ),
        IMAGES,
    ),
    "wav2vec2": (tiny_wav2vec2, tiny_waves(128)),
    "wav2vec2, pre-norm": (
        lambda: tiny_wav2vec2(feat_extract_norm="layer", do_stable_layer_norm=True),
        tiny_waves(128),
    ),
    "wav2vec2 with an adapter": (lambda: tiny_wav2vec2(add_adapter=True), tiny_waves(128)),
    "hubert": (lambda: tiny_wav2vec2(hf.HubertModel), tiny_waves(128)),
    "whisper's encoder": (
        lambda: tiny_whisper().get_encoder(),
        [{"input_features": part} for part in torch.randn(128, 8, 40).split(16)],
    ),
}


@pytest.mark.parametrize("granularity", ["block", "sublayer"])
@pytest.mark.parametrize("name", MODELS)
def test_images_and_audio_are_measured_and_planned(name, granularity):
    build, batches = MODELS[name]
    model = build()
    profile = measure_dimensions(model, None, batches, granularity=granularity)
    assert profile.num_used == 128
    assert len(profile.blocks) == NUM_BLOCKS
    assert len(profile.increments) == NUM_BLOCKS * (2 if granularity == "sublayer" else 1)
    assert all(dimension > 1 for dimension in profile.dimensions)
    assert profile.settings.pooling == "mean"
    plan = gelora.plan_ranks(profile)
    wrapped = get_peft_model(model, gelora.lora_config(model, plan))
    gelora.verify_ranks(wrapped, plan)


def test_get_gelora_model_takes_a_loader():
    config = gelora.GeloraConfig(budget="r=4", num_samples=100)
    model = gelora.get_gelora_model(tiny_vit(), None, IMAGES, config, seed=3)
    profile = measure_dimensions(tiny_vit(), None, IMAGES, num_samples=100, seed=3)
    assert model.dimension_profile == profile
    gelora.verify_ranks(model, model.rank_plan)


def test_whisper_is_measured_with_the_tokens_of_its_decoder():
    batches = [
        {
            "input_features": torch.randn(32, 8, 40),
            "decoder_input_ids": torch.randint(3, 60, (32, 5)),
        }
        for _ in range(4)
    ]
    profile = measure_dimensions(tiny_whisper(), None, batches)
    assert len(profile.blocks) == 2 * NUM_BLOCKS
    del batches[0]["decoder_input_ids"]
    with pytest.raises(ArchitectureError, match=r"put decoder_input_ids .* or give the encoder"):
        measure_dimensions(tiny_whisper(), None, batches[:1])


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_pooling_of_audio_leaves_out_padding(pooling):
    model = tiny_wav2vec2(feat_extract_norm="layer", do_stable_layer_norm=True)
    (batch,) = tiny_waves(4, batch_size=4)
    padded = hidden_states(model, [batch], pooling=pooling)
    alone = hidden_states(
        model,
        [
            {"input_values": values[None, : mask.sum()], "attention_mask": mask[None, : mask.sum()]}
            for values, mask in zip(batch["input_values"], batch["attention_mask"], strict=True)
        ],
        pooling=pooling,
    )
    for layer, expected in zip(padded, alone, strict=True):
        torch.testing.assert_close(layer, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_pooling_of_images_counts_every_patch(pooling):
    model = tiny_vit()
    images = IMAGES[0]["pixel_values"]
    states = model(images, output_hidden_states=True).hidden_states
    pooled = {"mean": lambda s: s.mean(1), "first": lambda s: s[:, 0], "last": lambda s: s[:, -1]}
    found = hidden_states(model, [{"pixel_values": images}], pooling=pooling)
    for layer, expected in zip(found[:-1], states, strict=False):
        torch.testing.assert_close(layer, pooled[pooling](expected))


def test_the_seed_draws_samples_and_copies_do_not_pass():
    images = torch.cat([batch["pixel_values"] for batch in IMAGES])
    images = torch.cat([images, images[:20]])
    batches = [{"pixel_values": part} for part in images.split(10)]
    with pytest.warns(DuplicateSamplesWarning, match="20 of the 148 samples drawn are copies"):
        profile = measure_dimensions(tiny_vit(), None, batches)
    assert (profile.num_texts, profile.num_used, profile.num_duplicates) == (148, 128, 20)
    assert profile.forward_tokens == 128 * 17  # patches and the class token
    first, again, other = (
        measure_dimensions(tiny_vit(), None, IMAGES, num_samples=90, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.dimensions != other.dimensions


def test_data_are_hashed_whatever_the_batches_and_padding():
    texts = tiny_texts(60)
    hashes = {
        measure_dimensions(tiny_bert(), None, tokenised(data, size)).data["inputs_sha256"]
        for data, size in ((texts, 4), (texts, 60), (texts[::-1], 4))
    }
    assert len(hashes) == 2
    assert {len(digest) for digest in hashes} == {64}


def test_measuring_in_parts_stops_early_and_keeps_its_states(monkeypatch, tmp_path):
    monkeypatch.setattr(gelora.hidden_states.growth, "FIRST_SIZE", 50)
    arguments = (tiny_vit(), None, DataLoader(images_one_by_one(), batch_size=16))
    early = measure_dimensions(*arguments, precision=100.0)
    assert (early.num_texts, early.stopped_by) == (50, "precision")
    assert early == measure_dimensions(*arguments, precision=100.0)
    folder = tmp_path / "states"
    late = measure_dimensions(*arguments, precision=1e-9, keep_hidden_states=folder)
    whole = measure_dimensions(*arguments)
    assert (late.num_texts, late.stopped_by) == (128, "num_samples")
    assert late.dimensions == pytest.approx(whole.dimensions, rel=1e-4)
    assert measure_hidden_states(folder) == late


def test_a_generator_of_batches_is_read_once():
    assert measure_dimensions(tiny_vit(), None, iter(IMAGES)) == measure_dimensions(
        tiny_vit(), None, IMAGES
    )


def test_a_loader_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    measure_dimensions(tiny_vit(), None, DataLoader(images_one_by_one(), batch_size=16))
    assert torch.equal(torch.rand(2), expected)


def images_one_by_one():
    return [{"pixel_values": image} for batch in IMAGES for image in batch["pixel_values"]]


class RandomImages(IterableDataset):
    def __iter__(self):
        return ({"pixel_values": torch.randn(3, 16, 16)} for _ in range(64))


class Shrinking(IterableDataset):
    readings = 0

    def __iter__(self):
        self.readings += 1
        return iter(images_one_by_one()[: 64 // self.readings])


def batch_of(**tensors):
    return [{name: torch.as_tensor(value) for name, value in tensors.items()}]


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (
            DataLoader(images_one_by_one(), shuffle=True),
            {},
            ConfigError,
            "The DataLoader shuffles.*make it with shuffle=False",
        ),
        (IMAGES, {"max_length": 5}, ConfigError, "max_length cuts texts.*leave it out"),
        (
            IMAGES,
            {"measure_batch_tokens": 5},
            ConfigError,
            "measure_batch_tokens makes batches of texts.*set the batch_size of the DataLoader",
        ),
        (DataLoader([]), {}, DataError, "the loader is empty"),
        (
            DataLoader(RandomImages(), batch_size=16),
            {},
            DataError,
            "gave another sample at index 0 when it was read again.*give list\\(loader\\)",
        ),
        (
            DataLoader(Shrinking(), batch_size=16),
            {},
            DataError,
            "gave 32 samples, not 64, when it was read again",
        ),
        (
            DataLoader(torch.zeros(4, 3, 16, 16)),
            {},
            DataError,
            "A batch is a Tensor, not a mapping.*collate_fn",
        ),
        (
            batch_of(pixels=torch.zeros(4, 3, 16, 16)),
            {},
            DataError,
            "A batch holds pixels, of which ViTModel takes nothing: it reads pixel_values",
        ),
        (
            [{**IMAGES[0], "bool_masked_pos": [True]}],
            {},
            DataError,
            "bool_masked_pos of a batch is a list: give tensors",
        ),
        (
            batch_of(pixel_values=torch.zeros(4, 3, 16, 16), attention_mask=torch.ones(3, 17)),
            {},
            DataError,
            r"without a common first axis .*pixel_values \(4, 3, 16, 16\), attention_mask \(3, 17",
        ),
        (
            batch_of(pixel_values=torch.zeros(48)),
            {},
            DataError,
            r"without a common first axis .*pixel_values \(48,\)",
        ),
        (
            batch_of(pixel_values=torch.zeros(4, 1, 16, 16)),
            {},
            ArchitectureError,
            "ViTModel does not run on these inputs",
        ),
        (IMAGES[:1], {"num_samples": 1}, TooFewSamplesError, "sample"),
    ],
)
def test_what_is_refused(data, options, error, message):
    with pytest.raises(error, match=message):
        measure_dimensions(tiny_vit(), None, data, **options)


def test_tokens_that_the_model_does_not_know_are_refused():
    batches = batch_of(input_ids=torch.full((4, 5), 64))
    with pytest.raises(DataError, match="A batch holds token 64, and the model knows 64 tokens"):
        measure_dimensions(tiny_bert(), None, batches)


def test_texts_need_a_tokenizer():
    with pytest.raises(ConfigError, match=r"tokenizer is None: give it, or give batches"):
        measure_dimensions(tiny_bert(), None, tiny_texts(9))


def test_a_block_must_return_a_state_for_each_token():
    class Grid(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.Linear(3, 3)

        def forward(self, hidden_states):
            return self.attention(hidden_states)

    class Grids(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Grid(), Grid()])

        def forward(self, pixel_values):
            for block in self.blocks:
                pixel_values = block(pixel_values)

    model = Grids()
    assert len(find_architecture(model).blocks) == 2
    with pytest.raises(ArchitectureError, match=r"blocks.0 has|shape \(8, 4, 4, 3\)"):
        hidden_states(model, batch_of(pixel_values=torch.randn(8, 4, 4, 3)))


def test_processes_must_read_the_same_batches(monkeypatch):
    monkeypatch.setattr("gelora.hidden_states.measure.from_main", lambda _data, _group: {})
    with pytest.raises(DataError, match="processes read different batches.*before accelerate"):
        measure_dimensions(tiny_vit(), None, IMAGES)

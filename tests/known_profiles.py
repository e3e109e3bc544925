"""Known networks by name, and measured as any model is: by texts that name their points."""

from functools import partial

import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

import known_networks as known
from gelora.dimension.profile import DimensionProfile
from gelora.hidden_states.measure import measure_dimensions
from known_networks import ADAPTED, KnownNetwork
from manifolds import Manifold, gaussian

NUM_SAMPLES = 2000


def flat(dimension):
    """A Gaussian cloud that fills its space, of spread 1."""
    return Manifold(partial(gaussian, dimension=dimension), dimension, 0.02)


NETWORKS = {
    "to fewer": partial(known.linear_map, flat(6), rank=3),
    "to more": partial(known.linear_map, flat(4), rank=7),
    "curved": partial(known.curved, flat(5), dimension=3),
    "identity": partial(known.identity, flat(4)),
    "amplifying": partial(known.amplifying, flat(3), added=2),
    "scrambling": partial(known.scrambling, flat(3), rank=2),
    "revealing": partial(known.revealing, flat(2), shown=2),
}


def point_tokenizer(network: KnownNetwork) -> hf.PreTrainedTokenizerFast:
    """Build a tokenizer of the words p0, p1, ..., one for each row of the network's table."""
    words = {f"p{index}": index for index in range(network.model.embedding.num_embeddings)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="p0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="p0", unk_token="p0")


def point_texts(network: KnownNetwork) -> list[str]:
    """Name the tokens of every sample."""
    return [" ".join(f"p{token}" for token in row) for row in network.input_ids.tolist()]


def measured(network: KnownNetwork, **arguments) -> DimensionProfile:
    return measure_dimensions(
        network.model,
        point_tokenizer(network),
        point_texts(network),
        target_modules=ADAPTED,
        **arguments,
    )

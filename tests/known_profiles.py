"""Known networks measured as any model is: a tokenizer and texts that name their points."""

import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from gelora.dimension.profile import DimensionProfile
from gelora.measurement.measure import measure_dimensions
from gelora.theory.known_networks import ADAPTED, KnownNetwork


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

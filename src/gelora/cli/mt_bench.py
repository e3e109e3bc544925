"""`gelora evaluate --task mt_bench`: questions in, two-turn answers in FastChat's format out."""

from gelora.cli.config import Config
from gelora.cli.console import Output


def main(config: Config) -> Output:
    """Answer the questions of MT-Bench, those that have no answer yet."""
    raise NotImplementedError

"""The command `gelora`: one verb for each stage of the flow, and `run` for all of them.

Tables go to standard output, progress and logs to standard error. The exit code is 0, 2 for what
the user can put right (a sentence, no traceback unless --debug asks for it), 1 for a fault of
gelora's own, or 130 when interrupted. Importing this, and `--help`, loads no torch: each verb's
module is imported when it is called, after all has been checked that needs no model.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from gelora import __version__
from gelora.cli.config import VERBS
from gelora.errors import ConfigError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without its program's name, and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    verb, *rest = arguments or ["--help"]
    if verb in ("-h", "--help"):
        print(_help())
        return 0
    if verb == "--version":
        print(f"gelora {__version__}")
        return 0
    known: list[Path] = []  # the folder of the run, once the flags are read
    try:
        _call(verb, rest, known)
    except (Exception, KeyboardInterrupt) as error:
        from gelora.cli.boundary import message_of

        if {"--debug", "--verbose"} & set(rest):
            traceback.print_exc()
        message, code = message_of(error, known[0] if known else None)
        print(f"gelora: {message}", file=sys.stderr)
        return code
    return 0


def _call(verb: str, rest: Sequence[str], known: list[Path]) -> None:
    from gelora.cli.parsing import nearest, parse

    if verb not in VERBS:
        hint = nearest(verb, VERBS) or "; gelora --help lists them."
        raise ConfigError(f"There is no verb {verb!r}{hint}")

    from gelora.cli.help import asks_for_help, print_help

    if asks_for_help(rest):
        print_help(verb, rest)
        return
    config = parse(verb, rest)
    known.append(config.folder)

    from gelora.cli.checks import check_flags
    from gelora.cli.console import is_main_process, only_results_on_stdout
    from gelora.cli.record import holding

    check_flags(verb, config)
    with only_results_on_stdout(config.run), holding(config.folder, verb):
        output = import_module(f"gelora.cli.{verb.replace('-', '_')}").main(config)
    if is_main_process():
        print(json.dumps(output.payload, indent=2) if config.run.json else output.text)


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}} {verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: gelora VERB [FLAGS]\n\n"
        "LoRA ranks from the geometry of your own data, before training.\n\n"
        f"{verbs}\n\n"
        "gelora run, without flags, does all of it on a small model and a generated task.\n"
        "gelora help VERB, or gelora VERB --help, lists a verb's flags. gelora --version prints\n"
        "the version."
    )

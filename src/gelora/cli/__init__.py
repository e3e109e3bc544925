"""The command `gelora`: one verb for each stage of the flow, and `run` for all of them.

Tables go to standard output, progress and logs to standard error. The exit code is 0, 2 for what
the user can put right (one sentence, no traceback), or 130 when interrupted. Importing this, and
`--help`, loads no torch: each verb's module is imported when it is called.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from gelora import __version__
from gelora.cli.config import VERBS
from gelora.errors import ConfigError, GeloraError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without its program's name, and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb, *rest = arguments or ["--help"]
    if verb in ("-h", "--help"):
        print(_help())
        return 0
    if verb == "--version":
        print(f"gelora {__version__}")
        return 0
    try:
        _call(verb, rest)
    except (GeloraError, OSError) as error:
        if "--verbose" in rest:
            traceback.print_exc()
        print(f"gelora: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gelora: interrupted.", file=sys.stderr)
        return 130
    except SystemExit as leaving:  # tyro has printed help, or what is wrong with a value
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _call(verb: str, rest: Sequence[str]) -> None:
    from gelora.cli.checks import check_flags
    from gelora.cli.console import is_main_process, only_results_on_stdout
    from gelora.cli.parsing import nearest, parse

    if verb not in VERBS:
        hint = nearest(verb, VERBS) or "; gelora --help lists them."
        raise ConfigError(f"There is no verb {verb!r}{hint}")
    config = parse(verb, rest)
    check_flags(verb, config)
    with only_results_on_stdout(config.run):
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
        "gelora VERB --help lists a verb's flags; gelora --version says which gelora this is."
    )

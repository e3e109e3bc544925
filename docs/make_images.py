"""Draw the README's figure from a run: its dimensions and ranks, as an SVG that stands alone.

    python docs/make_images.py RUN_FOLDER docs/images/cola.svg

It measures and trains nothing; `gelora run` leaves the folder that it reads.
"""

import sys
from pathlib import Path

from gelora.artifacts import write_text
from gelora.report.figures import dimension_figure
from gelora.report.run_files import read_run
from gelora.report.templating import sentence
from gelora.report.theme import standalone, to_svg


def main(run_folder: str, path: str) -> None:
    """Write the figure of the run in `run_folder` to `path`."""
    run = read_run(Path(run_folder))
    svg = to_svg(
        dimension_figure(run.profile, run.plan),
        description=sentence("plan_in_words", run.profile, run.plan),
    )
    write_text(Path(path), standalone(svg))


if __name__ == "__main__":
    main(*sys.argv[1:])

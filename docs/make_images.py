"""Draw the README's figure from a run: its dimensions and ranks, as an SVG that stands alone.

    python docs/make_images.py RUN_FOLDER docs/images/cola.svg

It measures and trains nothing; `gelora run` leaves the folder that it reads.
"""

import sys
from pathlib import Path

from gelora.artifacts import write_text
from gelora.reporting.figures import dimension_figure
from gelora.reporting.run_files import read_run
from gelora.reporting.theme import to_svg
from gelora.reporting.wording import describe_plan

# One image for light and dark pages: middle tones, at least 3.5 to 1 on white and on #0d1117.
STYLE = (
    "color: #6e7781; --muted: #6e7781; --grid: #6e778155; --blue: #2f81f7; --green: #16885f; "
    "font-family: system-ui, sans-serif"
)


def main(run_folder: str, path: str) -> None:
    """Write the figure of the run in `run_folder` to `path`."""
    run = read_run(Path(run_folder))
    svg = to_svg(
        dimension_figure(run.profile, run.plan),
        description=describe_plan(run.profile, run.plan),
    )
    alone = f'<svg xmlns="http://www.w3.org/2000/svg" style="{STYLE}"'
    write_text(Path(path), svg.replace("<svg", alone, 1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Write the sentences of the `agreement` task into the package.

cd tools && python -m agreement
"""

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

from agreement import Sentence, agreement

FOLDER = Path(__file__).parents[2] / "src/gelora/tasks/agreement"
COLUMNS = ("text", "label", "phenomenon")


def csv_of(sentences: Sequence[Sentence]) -> bytes:
    """Return the sentences as a CSV file."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(sentence, name) for name in COLUMNS] for sentence in sentences)
    return file.getvalue().encode()


def main() -> None:
    """Write both splits; the same sentences give the same files."""
    FOLDER.mkdir(exist_ok=True)
    for split, sentences in zip(("train", "validation"), agreement(), strict=True):
        (FOLDER / f"{split}.csv.gz").write_bytes(gzip.compress(csv_of(sentences), mtime=0))


if __name__ == "__main__":
    main()

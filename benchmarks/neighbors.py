"""Two nearest neighbours: ours beside five peers, each as a multiple of the arithmetic's floor.

    python benchmarks/neighbors.py > neighbors.json                # long, and on a quiet machine
    python benchmarks/neighbors.py --samples 1000 --widths 768 --repeats 9 --table
    python benchmarks/neighbors.py --read neighbors.json --table   # Markdown in place of JSON
    python benchmarks/neighbors.py --samples 100000 --widths 4096 --methods bfloat16 --mapped

The data are float32, from a curved manifold of 12 dimensions. The floor is one symmetric half of
samples² × width multiply-adds at the rate of this machine's own float32 product, measured again
before every repeat. Each method runs in a process of its own; `extra_megabytes` is its largest
anonymous memory beyond what it held with the data loaded, or with --mapped, where the data stay
in their file, without. Peers that are not installed are left out. Linux only.
"""

import argparse
import ctypes
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

DIMENSION = 12


def write_cloud(path: Path, samples: int, width: int) -> None:
    """Write a random smooth map of Gaussian latents, some rows at a time."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(DIMENSION, width)) / np.sqrt(4 * DIMENSION)
    phase = rng.uniform(0, 2 * np.pi, width)
    points = np.lib.format.open_memmap(path, "w+", np.float32, (samples, width))
    for start in range(0, samples, 1000):
        latent = rng.normal(size=(min(1000, samples - start), DIMENSION))
        points[start : start + 1000] = np.sin(latent @ directions + phase)
    points.flush()


def line(distances: np.ndarray) -> float:
    """Return the TwoNN estimate by line, from the distances to two neighbours."""
    from gelora.dimension.estimators import make_estimator

    with np.errstate(all="ignore"):
        return float(
            make_estimator("twonn_linfit").fit_distances(np.asarray(distances, float)).dimension
        )


def ours(proposal_format: str) -> Callable[[np.ndarray], float]:
    from gelora.dimension.neighbors import nearest_neighbors

    return lambda points: line(nearest_neighbors(points, proposal_format=proposal_format)[0])


def dadapy() -> Callable[[np.ndarray], float]:
    from dadapy.id_estimation import IdEstimation

    def estimate(points: np.ndarray) -> float:
        data = IdEstimation(points, verbose=False)
        data.compute_distances(maxk=3)
        return float(data.compute_id_2NN()[0])

    return estimate


def scikit_dimension() -> Callable[[np.ndarray], float]:
    from skdim.id import TwoNN

    return lambda points: float(TwoNN().fit(points).dimension_)


def scikit_learn() -> Callable[[np.ndarray], float]:
    from sklearn.neighbors import NearestNeighbors

    def estimate(points: np.ndarray) -> float:
        search = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(points)
        return line(search.kneighbors()[0])

    return estimate


def faiss() -> Callable[[np.ndarray], float]:
    from faiss import IndexFlatL2

    def estimate(points: np.ndarray) -> float:
        index = IndexFlatL2(points.shape[1])
        index.add(points)
        return line(np.sqrt(np.maximum(index.search(points, 3)[0][:, 1:], 0)))

    return estimate


def torch_cdist() -> Callable[[np.ndarray], float]:
    import torch

    def estimate(points: np.ndarray) -> float:
        values = torch.from_numpy(points)
        return line(torch.cdist(values, values).topk(3, largest=False).values[:, 1:].numpy())

    return estimate


METHODS: dict[str, tuple[str, Callable[[], Callable[[np.ndarray], float]]]] = {
    "bfloat16": ("gelora", lambda: ours("bfloat16")),
    "float32": ("gelora", lambda: ours("float32")),
    "dadapy": ("dadapy", dadapy),
    "scikit-dimension": ("skdim", scikit_dimension),
    "scikit-learn": ("sklearn", scikit_learn),
    "faiss": ("faiss", faiss),
    "torch.cdist": ("torch", torch_cdist),
}


def floor_of(samples: int, width: int) -> Callable[[], float]:
    """Return what times the floor: this machine's float32 product at its best of five.

    Its arrays are made once, so that none of the memory watched later is theirs.
    """
    import torch

    left, right = torch.randn(2, 1024, width)
    out = torch.empty(1024, 1024)

    def floor() -> float:
        best = min(timed(lambda: torch.mm(left, right.T, out=out))[0] for _ in range(5))
        return samples**2 / 2 / 1024**2 * best

    return floor


def timed(call: Callable[[], object]) -> tuple[float, object]:
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def run_alone(method: str, path: str, repeats: int, threads: int, mapped: bool) -> dict:
    """Measure one method; the process is nobody else's."""
    import torch

    torch.set_num_threads(threads)
    points = np.load(path, mmap_mode="r" if mapped else None)
    samples, width = points.shape
    estimate = METHODS[method][1]()
    estimate(points[:200])  # what is loaded on first use
    floor = floor_of(samples, width)
    floor()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is not held
    before = anonymous_megabytes()
    floors, seconds, dimension = [], [], None
    for _ in range(repeats):
        floors.append(floor())
        once, dimension = timed(lambda: estimate(points))
        seconds.append(once)
    return {
        "seconds": statistics.median(seconds),
        "floor_seconds": statistics.median(floors),
        "ratio": statistics.median(a / b for a, b in zip(seconds, floors, strict=True)),
        "fastest_over_fastest_floor": min(seconds) / min(floors),
        "before_megabytes": before,
        "dimension": dimension,
    }


def anonymous_megabytes(process: int | str = "self") -> float:
    status = Path(f"/proc/{process}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields.get("RssAnon", "0 kB").split()[0]) / 1024


def run(method: str, path: Path, asked: argparse.Namespace) -> dict:
    """Start a process for one method, and watch its memory from outside."""
    command = [sys.executable, __file__, "--alone", method, str(path)]
    command += ["--repeats", str(asked.repeats), "--threads", str(asked.threads)]
    command += ["--mapped"] * asked.mapped
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            time.sleep(0.005)
            try:
                peak = max(peak, anonymous_megabytes(process.pid))
            except (OSError, ValueError):
                break
        told = process.communicate()[0]
    if process.returncode:
        return {"failed": process.returncode}
    result = json.loads(told.splitlines()[-1])
    return result | {"extra_megabytes": peak - result.pop("before_megabytes")}


def results(asked: argparse.Namespace) -> Iterator[dict]:
    methods = [name for name in asked.methods if importlib.util.find_spec(METHODS[name][0])]
    for samples in asked.samples:
        for width in asked.widths:
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                path = Path(folder) / "points.npy"
                write_cloud(path, samples, width)
                for method in methods:
                    what = {"samples": samples, "width": width, "method": method}
                    print(*what.values(), file=sys.stderr, flush=True)
                    yield what | run(method, path, asked)


def environment(asked: argparse.Namespace) -> dict:
    import torch

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": asked.threads,
        "mapped": asked.mapped,
        "bfloat16_in_hardware": torch.cpu._is_avx512_bf16_supported(),
    }


def table(told: dict) -> str:
    """Return all results in Markdown: seconds, multiples of the floor, memory, estimate."""
    lines = [
        "| samples × width | method | seconds | over the floor | extra memory, MB | dimension |",
        "|---|---|---|---|---|---|",
    ]
    for one in told["results"]:
        size = f"| {one['samples']:,} × {one['width']:,} | {one['method']} |"
        if "failed" in one:
            lines.append(f"{size} failed ({one['failed']}) | – | – | – |")
        else:
            lines.append(
                f"{size} {one['seconds']:.3g} | {one['ratio']:.2f} |"
                f" {one['extra_megabytes']:.0f} | {one['dimension']:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 4000, 10_000, 20_000])
    parser.add_argument("--widths", type=int, nargs="+", default=[384, 768, 4096])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch; OMP_NUM_THREADS for all")
    parser.add_argument("--mapped", action="store_true", help="leave the data in their file")
    parser.add_argument("--folder", help="where the data are written, for a while")
    parser.add_argument("--read", type=Path, help="results to set out, in place of new ones")
    parser.add_argument("--table", action="store_true", help="Markdown in place of JSON")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        method, path = asked.alone
        print(json.dumps(run_alone(method, path, asked.repeats, asked.threads, asked.mapped)))
        return
    if asked.read:
        told = json.loads(asked.read.read_text())
    else:
        told = {"environment": environment(asked), "results": list(results(asked))}
    print(table(told) if asked.table else json.dumps(told, indent=2))


if __name__ == "__main__":
    main()

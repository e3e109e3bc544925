"""Write `estimators.json`: what DADApy and scikit-dimension estimate on the point clouds below.

It needs neither gelora nor torch, in an environment of its own:

    python -m venv golden && golden/bin/pip install dadapy==0.3.4 scikit-dimension==0.5.0
    golden/bin/python tests/golden/make_golden.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

GOLDEN_FILE = Path(__file__).parent / "estimators.json"
CLOUDS = [
    {"seed": 1, "samples": 500, "dimension": 2, "width": 3, "dtype": "float64"},
    {"seed": 2, "samples": 1000, "dimension": 5, "width": 20, "dtype": "float64"},
    {"seed": 3, "samples": 1003, "dimension": 10, "width": 100, "dtype": "float32"},
    {"seed": 4, "samples": 777, "dimension": 20, "width": 50, "dtype": "float64"},
]
DISCARD_FRACTIONS = (0.1, 0.25)
GRIDE_ORDERS = (1, 2, 4, 8)
NEIGHBORS = (5, 20)


def point_cloud(*, seed: int, samples: int, dimension: int, width: int, dtype: str) -> np.ndarray:
    """Draw a curved manifold: Gaussian latents, mixed, each coordinate bent a little."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(samples, dimension)) @ rng.normal(size=(dimension, width))
    return (mixed + 0.3 * np.sin(mixed)).astype(dtype)


def main() -> None:
    import dadapy
    import skdim

    entries = []
    for cloud in CLOUDS:
        points = point_cloud(**cloud).astype(np.float64)
        data = dadapy.Data(points)
        data.compute_distances(maxk=3)
        values = {
            "dadapy_twonn_ml": data.compute_id_2NN(algorithm="ml")[0],
            "skdim_twonn_mle": skdim.id.TwoNN(method="mle", discard_fraction=0)
            .fit(points)
            .dimension_,
        }
        for discard in DISCARD_FRACTIONS:
            line = skdim.id.TwoNN(discard_fraction=discard).fit(points).dimension_
            values[f"dadapy_twonn_base_{discard}"] = data.compute_id_2NN(mu_fraction=1 - discard)[0]
            values[f"skdim_twonn_line_{discard}"] = line
        # Its scales are the neighbours 1, 2, 4, ... up to range_max; eps is where its search stops.
        scales, *_ = data.return_id_scaling_gride(range_max=2 * GRIDE_ORDERS[-1], eps=1e-10)
        values |= {f"dadapy_gride_{n}": one for n, one in zip(GRIDE_ORDERS, scales, strict=True)}
        for k in NEIGHBORS:
            # Without noise, over the neighbourhood of each sample, inverses averaged.
            mle = skdim.id.MLE(unbiased=False, neighborhood_based=True)
            values[f"skdim_mle_{k}"] = mle.fit(points, n_neighbors=k, comb="mle").dimension_
        entries.append({"cloud": cloud, "values": {k: float(v) for k, v in values.items()}})
    packages = ("dadapy", "scikit-dimension", "numpy", "scipy", "scikit-learn")
    payload = {
        "script": "tests/golden/make_golden.py",
        "versions": {package: version(package) for package in packages},
        "entries": entries,
    }
    GOLDEN_FILE.write_text(json.dumps(payload, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

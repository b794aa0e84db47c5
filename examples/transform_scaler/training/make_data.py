"""Makes deliveries.csv: parcels of an invented courier, drawn from a seeded generator."""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 31
PARCELS = 800
HERE = Path(__file__).resolve().parent


def generate(parcels: int = PARCELS, seed: int = SEED) -> pd.DataFrame:
    """Return one row per parcel: three numbers of very different sizes, some weights missing."""
    rng = np.random.default_rng(seed)
    distance_km = rng.gamma(2.0, 60, parcels)
    weight_kg = rng.lognormal(0.4, 0.8, parcels)
    table = pd.DataFrame(
        {
            "distance_km": distance_km.round(1),
            "weight_kg": weight_kg.round(2),
            "value_eur": (35 * weight_kg**0.6 * rng.lognormal(0, 0.9, parcels)).round(2),
        }
    )
    return table.assign(weight_kg=table["weight_kg"].mask(rng.random(parcels) < 0.08))


if __name__ == "__main__":
    generate().to_csv(HERE / "deliveries.csv", index=False, lineterminator="\n")

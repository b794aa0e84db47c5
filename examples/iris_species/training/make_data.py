"""Makes iris.csv: measurements of invented flowers.

The three species and their four measurements are those of the classic textbook problem; the rows are ours, drawn
from a seeded generator around round averages.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 4
FLOWERS_PER_SPECIES = 150
HERE = Path(__file__).resolve().parent

MEASUREMENTS = ["sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm"]
AVERAGES = {"setosa": [5.0, 3.4, 1.5, 0.3], "versicolor": [5.9, 2.8, 4.3, 1.3], "virginica": [6.6, 3.0, 5.5, 2.0]}
SPREADS = {"setosa": [0.35, 0.35, 0.2, 0.1], "versicolor": [0.5, 0.3, 0.45, 0.2], "virginica": [0.6, 0.3, 0.55, 0.3]}


def generate(flowers_per_species: int = FLOWERS_PER_SPECIES, seed: int = SEED) -> pd.DataFrame:
    """Return one row per flower, with the target `species` as the last column."""
    rng = np.random.default_rng(seed)
    tables = []
    for species, averages in AVERAGES.items():
        size = rng.normal(0, 1, (flowers_per_species, 1))  # a large flower is large in every measurement
        noise = 0.6 * size + 0.8 * rng.normal(0, 1, (flowers_per_species, len(MEASUREMENTS)))
        values = np.clip(np.array(averages) + noise * np.array(SPREADS[species]), 0.1, None).round(1)
        tables.append(pd.DataFrame(values, columns=MEASUREMENTS).assign(species=species))
    return pd.concat(tables).sample(frac=1, random_state=seed).reset_index(drop=True)


if __name__ == "__main__":
    generate().to_csv(HERE / "iris.csv", index=False, lineterminator="\n")

"""Makes house_prices.csv: sales in an invented town, drawn from a seeded generator. No real sale is in it."""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 7
SALES = 3000
HERE = Path(__file__).resolve().parent

DISTRICT_LEVELS = {"harbour": 1.32, "old_town": 1.2, "university": 1.08, "garden_city": 1.0, "mill_side": 0.84}


def generate(sales: int = SALES, seed: int = SEED) -> pd.DataFrame:
    """Return one row per sale, with the target `price` in euros as the last column."""
    rng = np.random.default_rng(seed)
    district = rng.choice(np.array(list(DISTRICT_LEVELS), dtype=object), sales, p=[0.12, 0.18, 0.22, 0.3, 0.18])
    kind = np.where(rng.random(sales) < np.where(district == "garden_city", 0.7, 0.2), "house", "flat")
    area_m2 = np.clip(rng.lognormal(np.where(kind == "house", 4.85, 4.25), 0.28), 22, 380).round()
    rooms = np.clip((area_m2 / 27 + rng.normal(0.4, 0.7, sales)).round(), 1, 12)
    plot_m2 = np.where(kind == "house", rng.lognormal(6.1, 0.4, sales).round(), np.nan)
    built = np.clip(rng.normal(np.where(district == "old_town", 1925, 1978), 24), 1860, 2023).round()
    condition = rng.choice([1, 2, 3, 4, 5], sales, p=[0.05, 0.15, 0.4, 0.28, 0.12])
    centre_km = np.clip(rng.gamma(np.where(district == "garden_city", 6, 2.2), 0.75), 0.1, 14).round(1)
    lift = np.where((kind == "flat") & (rng.random(sales) < (built - 1860) / 200), "yes", "no")

    price = 2900 * area_m2**0.94 * pd.Series(district).map(DISTRICT_LEVELS).to_numpy(dtype=float)
    price *= 0.82 + 0.07 * condition
    price *= 1 + 0.0016 * np.maximum(built - 1960, 0)
    price *= np.exp(-0.028 * centre_km)
    price *= np.where(lift == "yes", 1.03, 1.0)
    price += 95 * np.nan_to_num(plot_m2)
    price *= rng.lognormal(0, 0.09, sales)

    table = pd.DataFrame(
        {
            "district": district,
            "kind": kind,
            "area_m2": area_m2.astype(int),
            "rooms": rooms.astype(int),
            "plot_m2": plot_m2,
            "built": built,
            "condition": condition,
            "centre_km": centre_km,
            "lift": lift,
            "price": (price / 500).round().astype(int) * 500,
        }
    )
    table["built"] = table["built"].mask(rng.random(sales) < 0.05)
    return table.astype({"built": "Int64", "plot_m2": "Int64"})


if __name__ == "__main__":
    generate().to_csv(HERE / "house_prices.csv", index=False, lineterminator="\n")

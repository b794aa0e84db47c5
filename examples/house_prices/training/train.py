"""Trains the house price model on house_prices.csv: python training/train.py [--output model.joblib]"""

import argparse
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_percentage_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

HERE = Path(__file__).resolve().parent
SEED = 3
NUMBERS = ["area_m2", "rooms", "plot_m2", "built", "condition", "centre_km"]
CATEGORIES = ["district", "kind", "lift"]


def split(sales: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on and the fifth that the model never sees."""
    train, held_out = train_test_split(sales, test_size=0.2, random_state=SEED)
    return train, held_out


def train(sales: pd.DataFrame) -> Pipeline:
    """Fit gradient-boosted trees, which take missing numbers as they are."""
    columns = ColumnTransformer(
        [
            ("numbers", "passthrough", NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ]
    )
    trees = HistGradientBoostingRegressor(max_iter=120, max_leaf_nodes=12, learning_rate=0.1, random_state=SEED)
    return make_pipeline(columns, trees).fit(sales[NUMBERS + CATEGORIES], sales["price"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the house price model.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "model.joblib")
    output: Path = parser.parse_args().output
    seen, held_out = split(pd.read_csv(HERE / "house_prices.csv"))
    model = train(seen)
    error = mean_absolute_percentage_error(held_out["price"], model.predict(held_out))
    print(f"mean error on {len(held_out):,} held-out sales: {error:.1%}")
    joblib.dump(model, output, compress=3)
    print(f"saved {output} ({output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

"""Fits the scaler on deliveries.csv: python training/train.py [--output model.joblib]"""

import argparse
from pathlib import Path

import joblib
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
COLUMNS = ["distance_km", "weight_kg", "value_eur"]


def train(parcels: pd.DataFrame) -> Pipeline:
    """Fit the medians that fill gaps, then the means and deviations that bring all columns to one scale."""
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(parcels[COLUMNS])


def main() -> None:
    parser = argparse.ArgumentParser(description="Fits the scaler.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "model.joblib")
    output: Path = parser.parse_args().output
    joblib.dump(train(pd.read_csv(HERE / "deliveries.csv")), output, compress=3)
    print(f"saved {output} ({output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

"""Trains the iris classifier on iris.csv: python training/train.py [--output model.joblib]"""

import argparse
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
SEED = 5
MEASUREMENTS = ["sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm"]


def split(flowers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on and the quarter that the model never sees."""
    train, held_out = train_test_split(flowers, test_size=0.25, random_state=SEED, stratify=flowers["species"])
    return train, held_out


def train(flowers: pd.DataFrame) -> Pipeline:
    """Fit a pipeline that picks its columns by name, so that it serves without any code beside it."""
    measurements = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer([("measurements", measurements, MEASUREMENTS)])
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000, tol=1e-7))
    return pipeline.fit(flowers[MEASUREMENTS], flowers["species"].astype(object))


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the iris classifier.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "model.joblib")
    output: Path = parser.parse_args().output
    seen, held_out = split(pd.read_csv(HERE / "iris.csv"))
    model = train(seen)
    print(f"accuracy on {len(held_out):,} held-out flowers: {model.score(held_out, held_out['species']):.1%}")
    joblib.dump(model, output, compress=3)
    print(f"saved {output} ({output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

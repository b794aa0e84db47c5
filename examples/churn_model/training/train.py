"""Trains the churn model on churn.csv and saves it beside custom.py.

    python training/train.py [--output model.joblib]

The rows are prepared with the very `transform` hook that serves the model, so training and serving cannot differ.
"""

import argparse
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from custom import CATEGORIES, NUMBERS, transform  # noqa: E402  found on the path set just above

SEED = 11


def split(customers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on and the quarter that the model never sees."""
    train, held_out = train_test_split(customers, test_size=0.25, random_state=SEED, stratify=customers["churned"])
    return train, held_out


def train(customers: pd.DataFrame) -> Pipeline:
    """Fit imputers, scaler, one-hot encoder and logistic regression."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, [*NUMBERS, "app_age"]),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ]
    )
    pipeline = make_pipeline(columns, LogisticRegression(C=0.5, max_iter=2000, tol=1e-7))
    return pipeline.fit(transform(customers, None), customers["churned"].astype(object))


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the churn model.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "model.joblib")
    output: Path = parser.parse_args().output
    seen, held_out = split(pd.read_csv(HERE / "churn.csv"))
    model = train(seen)
    likelihood = model.predict_proba(transform(held_out, model))[:, list(model.classes_).index("yes")]
    print(f"AUC on {len(held_out):,} held-out customers: {roc_auc_score(held_out['churned'] == 'yes', likelihood):.3f}")
    joblib.dump(model, output, compress=3)
    print(f"saved {output} ({output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

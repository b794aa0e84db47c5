"""The model that every server serves, fitted to the same rows wherever it is loaded. Goes into Modelyard as it is."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression

COLUMNS = [f"feature_{number}" for number in range(10)]


def training_data(rows: int = 2000) -> tuple[pd.DataFrame, pd.Series]:
    """Ten columns of numbers and a class, 0 or 1."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(generator.normal(size=(rows, len(COLUMNS))).round(6), columns=COLUMNS)
    noise = generator.normal(size=rows)
    return frame, (frame.sum(axis=1) + noise > 0).astype(int)


def fit_classifier() -> LogisticRegression:
    """The model of the single rows."""
    return LogisticRegression().fit(*training_data())


def fit_regression() -> LinearRegression:
    """The model of the large table."""
    frame, _ = training_data()
    return LinearRegression().fit(frame, frame.sum(axis=1))

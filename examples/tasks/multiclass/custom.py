"""A classification into several classes, as a class: it is pickled and loaded without a word of its own."""

from typing import Any

import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier


class CustomTask:
    """Extremely randomized trees."""

    def fit(self, X: pd.DataFrame, y: pd.Series, parameters: dict[str, Any], row_weights: Any = None) -> None:
        """Fit the trees."""
        self.model = ExtraTreesClassifier(
            n_estimators=parameters["trees"],
            min_samples_leaf=parameters["smallest_leaf"],
            criterion=parameters["criterion"],
            random_state=parameters["seed"],
        )
        self.model.fit(X, y, sample_weight=row_weights)

    def predict_proba(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return a column of probabilities for each class."""
        return pd.DataFrame(self.model.predict_proba(data), columns=self.model.classes_)

"""A transform that makes a sparse matrix of texts: a column for each frequent word, one for each column of numbers."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer


def fit(X: pd.DataFrame, y: Any, output_dir: str, parameters: dict[str, Any], **kwargs: Any) -> None:
    """Learn the words of each column of texts, and phrases of several words where asked."""
    words = {}
    for name in X.columns:
        if not is_numeric_dtype(X[name]):
            vectorizer = TfidfVectorizer(
                ngram_range=(1, parameters["longest_phrase"]),
                max_features=parameters["max_words"],
                token_pattern=parameters["token_pattern"],
            )
            words[name] = vectorizer.fit(X[name].fillna(""))
    joblib.dump(words, Path(output_dir) / "words.joblib")


def transform(X: pd.DataFrame, transformer: dict[str, TfidfVectorizer]) -> csr_matrix:
    """Return one matrix for all columns; a gap in a number is 0."""
    parts = []
    for name in X.columns:
        if name in transformer:
            parts.append(transformer[name].transform(X[name].fillna("").astype(str)))
        else:
            parts.append(csr_matrix(X[[name]].fillna(0).to_numpy(dtype=np.float64)))
    return hstack(parts, format="csr")

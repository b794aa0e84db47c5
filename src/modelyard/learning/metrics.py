"""How good predictions are. Each metric takes the actual values, the predictions and a weight for each row.

An undefined value (such as the AUC of one class) is ``None``. Source: the usual definitions, as in scikit-learn's
``metrics``; deviances are mean unit deviances of the Tweedie family with powers 1 and 2.
"""

import math
from collections.abc import Sequence

import polars as pl

SMALLEST = 1e-15
"""Probabilities are kept this far from 0 and 1, since a certain mistake would cost infinitely much."""
THRESHOLD = 0.5
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def of_classes(actual: pl.Series, probabilities: pl.DataFrame, weights: pl.Series | None) -> dict[str, float | None]:
    """Of a classification. ``actual`` holds the number of each row's class, by the order of the columns."""
    weight = _weights(actual, weights)
    values = probabilities.to_dict(as_series=True)
    columns = list(values.values())
    listed = probabilities.select(pl.concat_list(pl.all()).alias("all"), actual.cast(pl.Int64).alias("actual"))
    own = listed.select(pl.col("all").list.get(pl.col("actual")).clip(SMALLEST, 1 - SMALLEST)).to_series()
    areas = [_area(actual == number, column, weight) for number, column in enumerate(columns)]
    if len(columns) == 2:
        areas = areas[:1]
    known = [area for area in areas if area is not None]
    return {
        "LogLoss": _mean(-own.log(), weight),
        "AUC": sum(known) / len(known) if known and len(known) == len(areas) else None,
        "Accuracy": _mean((most_likely(probabilities) == actual.cast(pl.Int64)).cast(pl.Float64), weight),
    }


def most_likely(probabilities: pl.DataFrame) -> pl.Series:
    """The number of the class that each row is taken for; of two the first from a probability of one half on."""
    first, *others = probabilities.iter_columns()
    if len(others) == 1:
        return pl.select(pl.when(first >= THRESHOLD).then(0).otherwise(1)).to_series().cast(pl.Int64)
    return probabilities.select(pl.concat_list(pl.all()).list.arg_max()).to_series().cast(pl.Int64)


def of_numbers(actual: pl.Series, predicted: pl.Series, weights: pl.Series | None) -> dict[str, float | None]:
    """Of a regression."""
    actual = actual.cast(pl.Float64)
    weight = _weights(actual, weights)
    error = actual - predicted
    squared = _mean(error * error, weight)
    center = _mean(actual, weight)
    spread = None if center is None else _mean((actual - center) * (actual - center), weight)
    return {
        "RMSE": None if squared is None else math.sqrt(squared),
        "MAE": _mean(error.abs(), weight),
        "R Squared": None if squared is None or not spread else 1 - squared / spread,
        "Gamma Deviance": _gamma(actual, predicted, weight),
        "Poisson Deviance": _poisson(actual, predicted, weight),
    }


def distribution(scores: pl.Series) -> dict[str, object]:
    """How anomaly scores spread: there is nothing to compare them with."""
    return {
        "count": len(scores),
        "mean": _finite(scores.mean()),
        "standardDeviation": _finite(scores.std()) if len(scores) > 1 else 0.0,
        "quantiles": {f"{share:g}": _finite(scores.quantile(share, "linear")) for share in QUANTILES},
    }


def mean_of(found: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Each metric's mean over folds. ``None`` where one fold has none; but the AUC is that of the folds that have it,
    since a fold lacks it only where it lacks a class, whatever was predicted."""
    if not found:
        return {}
    names = found[0]
    return {name: _mean_of([each[name] for each in found], skips_missing=name == "AUC") for name in names}


def _mean_of(values: list[float | None], *, skips_missing: bool) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and (skips_missing or len(known) == len(values)) else None


def _weights(actual: pl.Series, weights: pl.Series | None) -> pl.Series:
    """The weights with 1 as the largest: only their ratios count, and sums of tiny or huge ones leave the floats."""
    if weights is None:
        return pl.repeat(1.0, len(actual), eager=True)
    values = weights.cast(pl.Float64).to_numpy()
    largest = values.max(initial=0.0)
    # divided by numpy: polars multiplies by 1 / largest, which may be inf
    return pl.Series(values / largest if largest else values)


def _mean(values: pl.Series, weight: pl.Series) -> float | None:
    total = float(weight.sum())
    return _finite(float((values * weight).sum()) / total) if total > 0 else None


def _area(is_class: pl.Series, score: pl.Series, weight: pl.Series) -> float | None:
    """The area under the ROC curve: how likely a row of the class scores above one that is not; ties count half."""
    frame = pl.DataFrame({"score": score, "hit": weight * is_class, "miss": weight * ~is_class})
    steps = frame.group_by("score").agg(pl.col("hit").sum(), pl.col("miss").sum()).sort("score")
    hits, misses = float(steps["hit"].sum()), float(steps["miss"].sum())
    if not hits or not misses:
        return None
    below = steps["miss"].cum_sum() - steps["miss"]
    return _finite(float((steps["hit"] * (below + steps["miss"] / 2)).sum()) / (hits * misses))


def _gamma(actual: pl.Series, predicted: pl.Series, weight: pl.Series) -> float | None:
    if not bool((actual > 0).all()) or not bool((predicted > 0).all()):
        return None
    return _mean(2 * ((predicted / actual).log() + actual / predicted - 1), weight)


def _poisson(actual: pl.Series, predicted: pl.Series, weight: pl.Series) -> float | None:
    if not bool((actual >= 0).all()) or not bool((predicted > 0).all()):
        return None
    gain = pl.select(pl.when(actual > 0).then(actual * (actual / predicted).log()).otherwise(0.0)).to_series()
    return _mean(2 * (gain - actual + predicted), weight)


def _finite(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None

"""The query of the prediction route. Source: contract/supporting-endpoints.md D.2."""

import math
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from modelyard_runner.problems import Refusal

MOST_DECIMALS = 17


@dataclass(frozen=True, slots=True)
class PredictionQuery:
    """What a client asks of the answer. `decimals`: digits after the point, None for all."""

    passthrough_columns: tuple[str, ...] = ()
    passthrough_all: bool = False
    decimals: int | None = None

    @property
    def wants_passthrough(self) -> bool:
        """Whether input columns are to be copied to the answer."""
        return self.passthrough_all or bool(self.passthrough_columns)


@lru_cache(maxsize=256)
def parse_prediction_query(query: bytes) -> PredictionQuery:
    """Read and check the documented arguments; any other argument is ignored.

    Raises Refusal 400 for values that are not what the argument takes, 422 for what this model cannot do.
    """
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True):
        values.setdefault(name, []).append(value)
    for name in ("predictionWarningEnabled", "excludeAdjustedPredictions"):
        _boolean(name, values)
    for name in ("thresholdLow", "thresholdHigh"):
        _number(name, values)
    if "explanationNumTopClasses" in values and "explanationClassNames" in values:
        raise Refusal(400, "Give either explanationNumTopClasses or explanationClassNames, not both.")
    _integer("explanationNumTopClasses", values, least=1)
    if values.get("maxExplanations", ["0"])[-1] != "all":
        _integer("maxExplanations", values, least=0)
    if values.get("maxExplanations", ["0"])[-1].strip("0"):
        raise Refusal(422, "Prediction explanations are not available for this model: leave out maxExplanations.")
    everything = values.get("passthroughColumnsSet", [])
    columns = tuple(dict.fromkeys(values.get("passthroughColumns", [])))
    if everything and everything != ["all"]:
        raise Refusal(400, f"passthroughColumnsSet takes the value 'all', not {everything[-1]!r}.")
    if everything and columns:
        raise Refusal(400, "Give either passthroughColumns or passthroughColumnsSet, not both.")
    decimals = _integer("decimalsNumber", values, least=0)
    if decimals is not None and decimals > MOST_DECIMALS:
        decimals = None
    return PredictionQuery(columns, bool(everything), decimals)


def _boolean(name: str, values: dict[str, list[str]]) -> None:
    for value in values.get(name, []):
        if value.lower() not in {"true", "false"}:
            raise Refusal(400, f"{name} takes true or false, not {value!r}.")


def _number(name: str, values: dict[str, list[str]]) -> None:
    for value in values.get(name, []):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise Refusal(400, f"{name} takes a number, not {value!r}.")


def _integer(name: str, values: dict[str, list[str]], least: int) -> int | None:
    number = None
    for value in values.get(name, []):
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= least):
            raise Refusal(400, f"{name} takes a whole number of at least {least}, not {value!r}.")
        number = int(value)
    return number


@lru_cache(maxsize=256)
def prefers_csv(accept: bytes) -> bool:
    """Whether an `Accept` header prefers text/csv to JSON (RFC 9110, 12.5.1); JSON when in doubt."""
    best_csv = best_json = 0.0
    for choice in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if kind == "text/csv":
            best_csv = max(best_csv, quality)
        elif kind in {"application/json", "text/json"}:
            best_json = max(best_json, quality)
    return best_csv > best_json

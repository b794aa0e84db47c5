"""The settings of a deployment (supporting-endpoints.md, A.12): what a client may set, and what holds without it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from modelyard.kernel.errors import Invalid
from modelyard.kernel.wire import UNSET, Body, Schema, UnsetType

Fraction = Annotated[float, Meta(ge=0, le=1)]
ComputeCount = Annotated[int, Meta(ge=1, le=8)]
Names = Annotated[list[str], Meta(max_length=1000)]
Section = dict[str, Any] | UnsetType | None
SERVICE_SECTIONS = ("association_id", "predictions_settings", "prediction_batching")
"""What replicas are started with."""


MISSING = {
    "batch_monitoring": "monitoring by batches",
    "humility": "rules of humility",
    "prediction_warning": "warnings about predictions",
    "prediction_intervals": "intervals of predictions",
}
"""Sections of features that are not there yet, so that they cannot be switched on."""


class AssociationId(Schema, forbid_unknown_fields=True):
    """The column that every answer repeats. A request may have to have it; else ids may be made up for its rows."""

    column_names: Annotated[list[Annotated[str, Meta(min_length=1, max_length=1000)]], Meta(max_length=1)] | None = None
    required_in_prediction_requests: bool = False
    auto_generate_id: bool = False


class Switch(Schema, forbid_unknown_fields=True):
    enabled: bool = False


class FeatureDrift(Switch, forbid_unknown_fields=True):
    feature_selection: Literal["auto", "manual"] = "auto"
    tracked_features: Names | None = None


class SegmentAnalysis(Switch, forbid_unknown_fields=True):
    attributes: Names | None = None


class Boundaries(Schema, forbid_unknown_fields=True):
    lower_boundary: float | None = None
    upper_boundary: float | None = None


class PredictionWarning(Switch, forbid_unknown_fields=True):
    custom_boundaries: Boundaries | None = None


class PredictionIntervals(Switch, forbid_unknown_fields=True):
    percentiles: Annotated[list[Annotated[int, Meta(ge=1, le=100)]], Meta(max_length=10)] | None = None


class PredictionsByForecastDate(Switch, forbid_unknown_fields=True):
    column_name: str | None = None
    datetime_format: str | None = None


class BiasAndFairness(Schema, forbid_unknown_fields=True):
    protected_features: Names | None = None
    preferable_target_value: str | bool | float | None = None
    fairness_metrics_set: str | None = None
    fairness_threshold: Fraction | None = None


class PredictionsSettings(Schema, forbid_unknown_fields=True):
    """``min_computes`` replicas run. There is no scaling by load, so that ``max_computes`` only caps their number."""

    min_computes: ComputeCount | None = None
    max_computes: ComputeCount | None = None
    resource_bundle_id: str | None = None

    def replicas(self, wanted: int) -> int:
        """How many run of a model that wants ``wanted``."""
        count = self.min_computes or wanted
        return min(count, self.max_computes or count)


class PredictionBatching(Schema, forbid_unknown_fields=True):
    """Ours: whether rows that arrive together may be scored together, once a test showed that they may."""

    enabled: bool = True


class DeploymentSettings(Schema, forbid_unknown_fields=True):
    """All settings with their defaults; those of ``SERVICE_SECTIONS`` change the service."""

    association_id: AssociationId = msgspec.field(default_factory=AssociationId)
    target_drift: Switch = msgspec.field(default_factory=Switch)
    feature_drift: FeatureDrift = msgspec.field(default_factory=FeatureDrift)
    segment_analysis: SegmentAnalysis = msgspec.field(default_factory=SegmentAnalysis)
    challenger_models: Switch = msgspec.field(default_factory=Switch)
    predictions_data_collection: Switch = msgspec.field(default_factory=Switch)
    batch_monitoring: Switch = msgspec.field(default_factory=Switch)
    humility: Switch = msgspec.field(default_factory=Switch)
    prediction_warning: PredictionWarning = msgspec.field(default_factory=PredictionWarning)
    prediction_intervals: PredictionIntervals = msgspec.field(default_factory=PredictionIntervals)
    predictions_by_forecast_date: PredictionsByForecastDate = msgspec.field(default_factory=PredictionsByForecastDate)
    bias_and_fairness: BiasAndFairness | None = None
    predictions_settings: PredictionsSettings = msgspec.field(default_factory=PredictionsSettings)
    prediction_batching: PredictionBatching = msgspec.field(default_factory=PredictionBatching)


class DeploymentSettingsUpdate(Body):
    """A section that is sent changes the fields it holds; null puts the whole section back to its defaults."""

    association_id: Section = UNSET
    target_drift: Section = UNSET
    feature_drift: Section = UNSET
    segment_analysis: Section = UNSET
    challenger_models: Section = UNSET
    predictions_data_collection: Section = UNSET
    batch_monitoring: Section = UNSET
    humility: Section = UNSET
    prediction_warning: Section = UNSET
    prediction_intervals: Section = UNSET
    predictions_by_forecast_date: Section = UNSET
    bias_and_fairness: Section = UNSET
    predictions_settings: Section = UNSET
    prediction_batching: Section = UNSET


def read_settings(stored: dict[str, Any]) -> DeploymentSettings:
    """What is stored, completed with the defaults."""
    return msgspec.convert(stored, DeploymentSettings)


def merge_settings(stored: dict[str, Any], body: DeploymentSettingsUpdate) -> dict[str, Any]:
    """``stored`` with the sections that were sent laid over it; raises ``Invalid`` naming each wrong section."""
    merged = dict(stored)
    errors: dict[str, str] = {}
    for info in msgspec.structs.fields(DeploymentSettingsUpdate):
        section = getattr(body, info.name)
        if section is UNSET:
            continue
        wire_name = info.encode_name
        if section is None:
            merged.pop(wire_name, None)
            continue
        merged[wire_name] = {**merged.get(wire_name, {}), **section}
        try:
            msgspec.convert({wire_name: merged[wire_name]}, DeploymentSettings)
        except msgspec.ValidationError as error:
            errors[wire_name] = str(error)
    if not errors:
        errors = _contradictions(read_settings(merged))
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
    return merged


def _contradictions(settings: DeploymentSettings) -> dict[str, str]:
    computes = settings.predictions_settings
    errors = {}
    for info in msgspec.structs.fields(DeploymentSettings):
        if info.name in MISSING and getattr(settings, info.name).enabled:
            errors[info.encode_name] = f"cannot be switched on: this version of Modelyard has no {MISSING[info.name]}"
    if computes.min_computes and computes.max_computes and computes.min_computes > computes.max_computes:
        errors["predictionsSettings"] = f"minComputes {computes.min_computes} is over {computes.max_computes}"
    association = settings.association_id
    if not association.column_names:
        if association.required_in_prediction_requests:
            errors["associationId"] = "requiredInPredictionRequests needs columnNames"
        elif association.auto_generate_id:
            errors["associationId"] = "autoGenerateId needs columnNames"
    return errors


def changes_service(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the difference is one that replicas must be started anew for."""
    old, new = read_settings(before), read_settings(after)
    return any(getattr(old, name) != getattr(new, name) for name in SERVICE_SECTIONS)

"""The command line. Every option may also come from an environment variable `MODELYARD_<OPTION>`."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard_runner.association import AssociationId
from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.rows import MAX_COLUMNS

MIB = 2**20


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What is said about a model. `batches`: rows of different requests may be scored together."""

    target: Target
    batches: bool
    max_batch_rows: int
    max_body_bytes: int
    max_columns: int = MAX_COLUMNS
    association: AssociationId | None = None


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `serve`. Without a `socket` the server listens on `host` and `port`."""

    model: ModelOptions
    code_dir: Path
    socket: Path | None
    host: str
    port: int
    url_prefix: str
    failure_file: Path | None
    grace_s: float
    is_upstream: bool
    environment_dir: Path | None
    upstream_port: int
    is_check: bool = False
    """Load the model, say how that went, and end."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """The options of `score`. `output` is None for standard output."""

    model: ModelOptions
    code_dir: Path
    input: Path
    output: Path | None


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of `train`: a plan, and the folder for what comes of it."""

    plan: Path
    output: Path


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """The options of `predict`: the folder of a trained chain, a table, and the folder for its predictions."""

    chain: Path
    table: Path
    output: Path


Options = ServeOptions | ScoreOptions | TrainOptions | PredictOptions


def parse(arguments: Sequence[str]) -> Options:
    """Parse the command line; exits with code 2 and one line on standard error when it is wrong."""
    parser = argparse.ArgumentParser(prog="modelyard_runner", description="Serves the model of a code folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer predictions on a socket")
    _add_model_options(serve)
    _add(serve, "--socket", type=Path, help="path of the Unix socket to listen on")
    _add(serve, "--host", default="127.0.0.1", help="address to listen on instead of a Unix socket")
    _add(serve, "--port", type=int, help="port to listen on instead of a Unix socket")
    _add(serve, "--url-prefix", default="", help="what the path of every route begins with")
    _add(serve, "--failure-file", type=Path, help="where to write the reason, as JSON, when the model cannot be loaded")
    _add(serve, "--grace-s", type=float, default=10.0, help="seconds that requests under way get when told to stop")
    serve.add_argument("--upstream", action="store_true", help="start start_server.sh and answer through it")
    _add(serve, "--environment-dir", type=Path, help="where start_server.sh is when the code folder has none")
    _add(serve, "--upstream-port", type=int, default=8080, help="the port that start_server.sh has to listen on")
    serve.add_argument("--check", action="store_true", help="load the model and end, with 0 where it can be served")
    score = commands.add_parser("score", help="score a file and write the predictions")
    _add_model_options(score)
    score.add_argument("--input", type=Path, required=True, help="CSV or JSON file (any file for unstructured models)")
    score.add_argument("--output", type=Path, help="where to write; JSON when it ends in .json, else CSV")
    _add_training_commands(commands.add_parser)
    chosen = parser.parse_args(arguments)
    if chosen.command == "train":
        return TrainOptions(chosen.plan, chosen.output)
    if chosen.command == "predict":
        return PredictOptions(chosen.chain, chosen.table, chosen.output)
    try:
        model = _model_options(chosen)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if chosen.code is None:
        parser.error("--code is missing: name the folder of the model's code")
    code_dir = chosen.code.absolute()
    if chosen.command == "score":
        return ScoreOptions(model, code_dir, chosen.input, chosen.output)
    if (chosen.socket is None) == (chosen.port is None):
        parser.error("give either --socket or --port")
    return ServeOptions(
        model=model,
        code_dir=code_dir,
        socket=chosen.socket,
        host=chosen.host,
        port=chosen.port or 0,
        url_prefix=_prefix(chosen.url_prefix),
        failure_file=chosen.failure_file,
        grace_s=chosen.grace_s,
        is_upstream=chosen.upstream,
        environment_dir=chosen.environment_dir,
        upstream_port=chosen.upstream_port,
        is_check=chosen.check,
    )


def _add_training_commands(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    train = add_parser("train", help="fit a chain of tasks on the parts of a table")
    train.add_argument("--plan", type=Path, required=True, help="JSON file: what is fitted on which rows")
    train.add_argument("--output", type=Path, required=True, help="folder for progress, predictions and artifacts")
    predict = add_parser("predict", help="score a table with a trained chain")
    predict.add_argument("--chain", type=Path, required=True, help="folder of the chain")
    predict.add_argument("--table", type=Path, required=True, help="folder of the table")
    predict.add_argument("--output", type=Path, required=True, help="folder for the predictions")


def _add(parser: argparse.ArgumentParser, option: str, default: object = None, **details: object) -> None:
    variable = "MODELYARD_" + option.removeprefix("--").replace("-", "_").upper()
    parser.add_argument(option, default=os.environ.get(variable) or default, **details)  # type: ignore[arg-type]


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    _add(parser, "--code", type=Path, default=os.environ.get("MODELYARD_CODE_DIR"), help="folder of the model's code")
    _add(parser, "--target-type", help=", ".join(kind.value for kind in TargetType))
    parser.add_argument("--unstructured", action="store_true", help="serve the target type as an unstructured one")
    _add(parser, "--target-name", default="", help="name of the target, for the answers")
    _add(parser, "--positive-class-label")
    _add(parser, "--negative-class-label")
    _add(parser, "--class-labels-file", type=Path, help="multiclass labels: one per line, or a JSON list")
    parser.add_argument("--class-labels", nargs="+", metavar="LABEL", help="multiclass labels")
    _add(parser, "--threshold", type=float, default=os.environ.get("MODELYARD_PREDICTION_THRESHOLD") or 0.5)
    _add(parser, "--batch", default="off", choices=("on", "off"), help="score waiting single rows together")
    _add(parser, "--association-id", default="", help="name of the column that is copied to every answer")
    parser.add_argument("--require-association-id", action="store_true", help="refuse requests without that column")
    parser.add_argument("--generate-association-id", action="store_true", help="give rows without an id one")
    _add(parser, "--max-batch-rows", type=int, default=256)
    _add(parser, "--max-body-bytes", type=int, default=50 * MIB)
    _add(parser, "--max-columns", type=int, default=MAX_COLUMNS)


def _model_options(chosen: argparse.Namespace) -> ModelOptions:
    if chosen.unstructured:
        kind = TargetType.UNSTRUCTURED
    elif chosen.target_type is None:
        raise ValueError("--target-type is missing")
    else:
        kind = TargetType.parse(chosen.target_type)
    target = Target(kind, chosen.target_name, _labels(kind, chosen), float(chosen.threshold))
    if min(chosen.max_batch_rows, chosen.max_body_bytes, chosen.max_columns) < 1:
        raise ValueError("--max-batch-rows, --max-body-bytes and --max-columns have to be at least 1")
    return ModelOptions(
        target,
        chosen.batch == "on",
        chosen.max_batch_rows,
        chosen.max_body_bytes,
        chosen.max_columns,
        _association(chosen),
    )


def _association(chosen: argparse.Namespace) -> AssociationId | None:
    if not chosen.association_id:
        return None
    return AssociationId(chosen.association_id, chosen.require_association_id, chosen.generate_association_id)


def _labels(kind: TargetType, chosen: argparse.Namespace) -> tuple[str, ...]:
    if kind is TargetType.BINARY:
        positive, negative = chosen.positive_class_label, chosen.negative_class_label
        if (positive is None) != (negative is None):
            raise ValueError("give both --positive-class-label and --negative-class-label, or neither")
        return (positive, negative) if positive is not None else ()
    if kind is not TargetType.MULTICLASS:
        return ()
    if chosen.class_labels:
        return tuple(chosen.class_labels)
    if chosen.class_labels_file is None:
        text = os.environ.get("MODELYARD_CLASS_LABELS", "")
    else:
        text = chosen.class_labels_file.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        return tuple(str(label) for label in json.loads(text))
    return tuple(line for line in text.splitlines() if line.strip())


def _prefix(text: str) -> str:
    inner = text.strip("/")
    return f"/{inner}" if inner else ""

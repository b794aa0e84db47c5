"""Runs in the environment of the libraries: trains small artifacts, and computes what the libraries alone give."""

import json
import pickle
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import xgboost
from onnx import TensorProto, helper

from modelyard_runner.models.artifacts import load_artifact
from modelyard_runner.models.known_kinds import schema_of_model

FRAME = pd.DataFrame({"a": np.arange(90) % 7, "b": np.arange(90) % 5 + 0.5})
CLASSES = np.arange(90) % 3
COLORS = pd.Series(np.array(["red", "green", "blue"])[np.arange(90) % 3])
LIGHT = {"min_data_in_leaf": 2, "verbosity": -1, "num_threads": 1}


def _xgboost(folder: Path, parameters: dict[str, Any], target: Any, frame: pd.DataFrame = FRAME) -> None:
    data = xgboost.DMatrix(frame, label=target, enable_categorical=True)
    xgboost.train({"max_depth": 3, **parameters}, data, 5).save_model(folder / "model.json")


def _lightgbm(folder: Path, parameters: dict[str, Any], target: Any, frame: pd.DataFrame = FRAME) -> None:
    lightgbm.train({**LIGHT, **parameters}, lightgbm.Dataset(frame, target), 5).save_model(folder / "model.txt")


# outputs that can never be an answer


def xgboost_softmax(folder: Path) -> None:
    _xgboost(folder, {"objective": "multi:softmax", "num_class": 3}, CLASSES)


def xgboost_logitraw(folder: Path) -> None:
    _xgboost(folder, {"objective": "binary:logitraw"}, CLASSES > 0)


def xgboost_two_targets(folder: Path) -> None:
    _xgboost(folder, {}, np.column_stack((CLASSES, FRAME["b"])))


def lightgbm_one_against_all(folder: Path) -> None:
    _lightgbm(folder, {"objective": "multiclassova", "num_class": 3}, CLASSES)


def lightgbm_regression(folder: Path) -> None:
    _lightgbm(folder, {"objective": "regression"}, FRAME["b"])


# the order of classes


def xgboost_three_classes(folder: Path) -> None:
    _xgboost(folder, {"objective": "multi:softprob", "num_class": 3}, CLASSES)


def lightgbm_texts(folder: Path) -> None:
    names = np.array(["green", "red", "blue"])[CLASSES]
    lightgbm.LGBMClassifier(n_estimators=5, **LIGHT).fit(FRAME, names).booster_.save_model(folder / "model.txt")


def lightgbm_integers(folder: Path) -> None:
    numbers = np.array([10, 9, 2])[CLASSES]
    lightgbm.LGBMClassifier(n_estimators=5, **LIGHT).fit(FRAME, numbers).booster_.save_model(folder / "model.txt")


def plain_booster(folder: Path, rows: list[dict[str, Any]]) -> Any:
    """The probabilities of a booster for rows of numbers, column by column as it gives them."""
    frame = pd.DataFrame(rows)
    if (folder / "model.txt").exists():
        return lightgbm.Booster(model_file=folder / "model.txt").predict(frame).tolist()
    return xgboost.Booster(model_file=folder / "model.json").predict(xgboost.DMatrix(frame)).tolist()


def _classifier(folder: Path, labels: list[Any], *, with_labels: bool = True, key: str | None = None) -> None:
    """A linear classifier in ONNX whose probabilities are a matrix without names."""
    kind = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints"
    count = len(labels)
    settings: dict[str, Any] = {kind: labels} if key is None else {"classlabels_ints": list(range(count))}
    random = np.random.default_rng(1)
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label" if key is None else "place", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=random.normal(size=count * 2).tolist(),
        intercepts=random.normal(size=count).tolist(),
        multi_class=0,
        post_transform="SOFTMAX",
        **settings,
    )
    nodes, constants = [node], []
    if key is not None:
        constants = [helper.make_tensor(key, TensorProto.STRING, [count], [str(label).encode() for label in labels])]
        nodes.append(helper.make_node("Gather", [key, "place"], ["label"]))
    of = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    outputs = [helper.make_tensor_value_info("label", of, [None])] if with_labels else []
    outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, count]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    _save(folder, helper.make_graph(nodes, "classifier", inputs, outputs, constants))


def _save(folder: Path, graph: Any) -> None:
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), str(folder / "model.onnx"))


def onnx_own_order(folder: Path) -> None:
    """The graph's labels are not in sorted order, as no library of ours writes them, but the graph says so."""
    _classifier(folder, ["green", "blue", "red"])


def onnx_digits(folder: Path) -> None:
    """Labels that are texts of digits: sorted as texts."""
    _classifier(folder, ["10", "2", "9"])


def onnx_integers(folder: Path) -> None:
    _classifier(folder, [2, 9, 10])


def onnx_without_labels(folder: Path) -> None:
    """Probabilities only, and no label anywhere in the graph: as other exporters write classifiers."""
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], [0.5, -0.5, 0.25, 0.75])
    nodes = [helper.make_node("MatMul", ["x", "weights"], ["z"]), helper.make_node("Softmax", ["z"], ["probabilities"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    _save(folder, helper.make_graph(nodes, "classifier", inputs, outputs, [weights]))


def onnx_labels_by_place(folder: Path) -> None:
    """The labels are a constant of another name, picked by the most probable place: only the output shows them."""
    _classifier(folder, ["churn", "stay"], key="names")


def onnx_two_values(folder: Path) -> None:
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], [0.5, -0.5, 0.25, 0.75])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])]
    _save(
        folder,
        helper.make_graph([helper.make_node("MatMul", ["x", "weights"], ["y"])], "g", inputs, outputs, [weights]),
    )


def onnx_kinds(folder: Path) -> None:
    """One input of each kind; the sum of the numbers, and 1000 where the flag is set."""
    kinds = {"flag": TensorProto.BOOL, "small": TensorProto.INT32, "real": TensorProto.FLOAT}
    nodes = [helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT) for name in kinds]
    thousand = helper.make_tensor("thousand", TensorProto.FLOAT, [1], [1000.0])
    nodes.append(helper.make_node("Mul", ["flag_f", "thousand"], ["flag_w"]))
    nodes.append(helper.make_node("Sum", ["flag_w", "small_f", "real_f"], ["y"]))
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])]
    _save(folder, helper.make_graph(nodes, "kinds", inputs, outputs, [thousand]))


def plain_session(folder: Path, rows: list[dict[str, Any]]) -> Any:
    """The last output of a session for rows that are one matrix."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    matrix = pd.DataFrame(rows).to_numpy(dtype=np.float32)
    return session.run(None, {session.get_inputs()[0].name: matrix})[-1].tolist()


# early stopping


def lightgbm_pickled_early(folder: Path) -> None:
    """A pickled booster has all its trees, and its best iteration."""
    noise = np.random.default_rng(0).normal(size=90)
    data, valid = lightgbm.Dataset(FRAME[:60], noise[:60]), lightgbm.Dataset(FRAME[60:], noise[60:])
    stop = lightgbm.early_stopping(3, verbose=False)
    booster = lightgbm.train(
        {**LIGHT, "learning_rate": 0.5}, data, 50, valid_sets=[valid], callbacks=[stop], keep_training_booster=True
    )
    assert 0 < booster.best_iteration < booster.num_trees()
    (folder / "model.pkl").write_bytes(pickle.dumps(booster))
    booster.save_model(folder / "best.bin", num_iteration=booster.best_iteration)


def best_iteration(folder: Path, rows: list[dict[str, Any]]) -> Any:
    return lightgbm.Booster(model_file=folder / "best.bin").predict(pd.DataFrame(rows)).tolist()


# categories


def _with_categories() -> tuple[pd.DataFrame, Any]:
    """Columns of categories of three kinds, and a target that depends on each."""
    size = np.arange(90) // 3 % 4
    frame = pd.DataFrame({
        "n": FRAME["b"],
        "color": COLORS.astype("category"),
        "size": pd.Categorical(np.array([40, 10, 30, 20])[size]),
        "mark": pd.Categorical(np.array(["1", "02", "3.0"])[np.arange(90) // 7 % 3]),
    })  # fmt: skip
    return frame, CLASSES * 10 + size * 3 + FRAME["b"] + frame["mark"].cat.codes


def xgboost_categories(folder: Path) -> None:
    frame, target = _with_categories()
    _xgboost(folder, {"max_depth": 6}, target, frame)


def lightgbm_categories(folder: Path) -> None:
    frame, target = _with_categories()
    _lightgbm(folder, {"min_data_per_group": 1, "cat_smooth": 1}, target, frame)


def xgboost_estimator(folder: Path) -> None:
    frame, target = _with_categories()
    model = xgboost.XGBRegressor(n_estimators=5, enable_categorical=True).fit(frame, target)
    model.get_booster().save_model(folder / "booster.bin.ubj")
    (folder / "booster.bin.ubj").rename(folder / "booster.bin")
    (folder / "model.pkl").write_bytes(pickle.dumps(model))


def lightgbm_estimator(folder: Path) -> None:
    frame, target = _with_categories()
    model = lightgbm.LGBMRegressor(n_estimators=5, min_data_per_group=1, **LIGHT)
    model.fit(frame.rename(columns={"n": "a number"}), target)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    model.booster_.save_model(folder / "booster.bin")


def xgboost_before_names(folder: Path) -> None:
    """As XGBoost wrote files before it kept the names of categories."""
    xgboost_categories(folder)
    content = json.loads((folder / "model.json").read_text())
    content["version"] = [2, 1, 4]
    del content["learner"]["gradient_booster"]["model"]["cats"]
    (folder / "model.json").write_text(json.dumps(content))


def kinds(folder: Path, _rows: list[dict[str, Any]]) -> Any:
    """What the runner knows of the columns of an artifact."""
    schema = schema_of_model(load_artifact(folder, required=True))
    return [schema.others, dict(schema.kinds)]


def categories_by_hand(folder: Path, rows: list[dict[str, Any]]) -> Any:
    """Codes looked up in the sorted categories of the training, and given to the booster as numbers.

    A value that is no category is missing for LightGBM, and for XGBoost a code that it has not seen.
    """
    frame, _ = _with_categories()
    kinds = {name: frame[name].cat.categories.tolist() for name in ("color", "size", "mark")}
    file = next(path for path in folder.iterdir() if path.name in {"model.json", "model.txt", "booster.bin"})
    is_lightgbm = file.read_bytes()[:4] == b"tree"
    unseen = np.nan if is_lightgbm else 1000

    def code(name: str, cell: Any) -> float:
        if cell is None:
            return np.nan
        return kinds[name].index(cell) if cell in kinds[name] else unseen

    matrix = [[np.nan if row["n"] is None else row["n"], *(code(name, row[name]) for name in kinds)] for row in rows]
    values = np.array(matrix, dtype=float)
    if is_lightgbm:
        return lightgbm.Booster(model_file=file).predict(values).tolist()
    booster = xgboost.Booster(model_file=bytearray(file.read_bytes()))
    return booster.predict(xgboost.DMatrix(values), validate_features=False).tolist()

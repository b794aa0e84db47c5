"""Writes what MLServer reads: the model as a joblib file, and its settings. ``prepare.py FOLDER PORT``."""

import json
import sys
from pathlib import Path

import joblib
from model import fit_classifier

folder, port = Path(sys.argv[1]), int(sys.argv[2])
joblib.dump(fit_classifier(), folder / "model.joblib")
model = {"name": "model", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
(folder / "model-settings.json").write_text(json.dumps(model))
ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
(folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **ports}))

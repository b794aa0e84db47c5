"""Trains the anomaly detector on sensors.csv: python training/train.py [--output model.joblib]"""

import argparse
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
SEED = 13
READINGS = ["temperature_c", "vibration_mm_s", "pressure_bar", "flow_l_min", "current_a"]


def train(sensors: pd.DataFrame) -> Pipeline:
    """Fit an isolation forest on the readings alone; which of them are faults it is not told."""
    forest = IsolationForest(n_estimators=60, max_samples=128, random_state=SEED)
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), forest).fit(sensors[READINGS])


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the anomaly detector.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "model.joblib")
    output: Path = parser.parse_args().output
    sensors = pd.read_csv(HERE / "sensors.csv")
    model = train(sensors)
    strangeness = -model.score_samples(sensors[READINGS])
    print(f"AUC of the score for the {(sensors['fault'] != 'none').sum()} known faults: ", end="")
    print(f"{roc_auc_score(sensors['fault'] != 'none', strangeness):.3f}")
    joblib.dump(model, output, compress=3)
    print(f"saved {output} ({output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

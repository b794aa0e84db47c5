"""Makes sensors.csv: readings of invented pumps, drawn from a seeded generator.

Normal readings follow the pump's load. One in forty is a fault; the column `fault` says which, for judging the model
only: it learns without it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 21
READINGS = 2400
HERE = Path(__file__).resolve().parent


def generate(readings: int = READINGS, seed: int = SEED) -> pd.DataFrame:
    """Return one row per reading, the column `fault` (none, bearing, leak, stuck) last."""
    rng = np.random.default_rng(seed)
    fault = rng.choice(
        np.array(["none", "bearing", "leak", "stuck"], dtype=object), readings, p=[0.975, 0.01, 0.01, 0.005]
    )
    load = rng.beta(4, 2.5, readings)
    temperature = 38 + 24 * load + rng.normal(0, 1.6, readings) + np.where(fault == "bearing", 17, 0)
    vibration = 0.8 + 1.1 * load + rng.gamma(2, 0.09, readings) + np.where(fault == "bearing", 2.4, 0)
    pressure = 2.1 + 3.4 * load + rng.normal(0, 0.15, readings) - np.where(fault == "leak", 1.9, 0)
    flow = 14 + 62 * load + rng.normal(0, 1.8, readings) - np.where(fault == "leak", 22, 0)
    current = 3.2 + 8.5 * load + rng.normal(0, 0.25, readings) + np.where(fault == "stuck", 6.5, 0)
    return pd.DataFrame(
        {
            "temperature_c": temperature.round(1),
            "vibration_mm_s": vibration.round(2),
            "pressure_bar": pressure.round(2),
            "flow_l_min": np.where(fault == "stuck", 0.4, flow).round(1),
            "current_a": current.round(2),
            "fault": fault,
        }
    )


if __name__ == "__main__":
    generate().to_csv(HERE / "sensors.csv", index=False, lineterminator="\n")

"""Makes churn.csv: customers of an invented mobile and internet provider.

Nothing in it is real. Every column is drawn from a seeded generator, and whether a customer left follows from a
logistic model of the columns plus two influences that the table does not show, so no model can be perfect.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20240917
CUSTOMERS = 7500
HERE = Path(__file__).resolve().parent

PLAN_PRICES = {"basic": 19.0, "standard": 29.0, "family": 44.0, "premium": 55.0}
APP_RELEASES = ["5.9.2", "6.0.0", "6.3.1", "6.8.0", "7.0.4", "7.1.0", "7.2.3", "7.3.0", "7.4.0"]


def generate(customers: int = CUSTOMERS, seed: int = SEED) -> pd.DataFrame:
    """Return one row per customer, with the target `churned` (yes or no) as the last column."""
    rng = np.random.default_rng(seed)

    def pick(weights: dict[str, float]) -> np.ndarray:
        return rng.choice(np.array(list(weights), dtype=object), customers, p=list(weights.values()))

    region = pick({"north": 0.22, "south": 0.18, "east": 0.2, "west": 0.25, "islands": 0.03, "capital": 0.12})
    plan = pick({"basic": 0.31, "standard": 0.37, "family": 0.17, "premium": 0.15})
    contract = pick({"monthly": 0.48, "yearly": 0.34, "two_year": 0.18})
    payment = pick({"card": 0.41, "bank_transfer": 0.27, "wallet": 0.2, "invoice": 0.12})
    app_release = pick(dict(zip(APP_RELEASES, [0.03, 0.03, 0.05, 0.07, 0.1, 0.12, 0.15, 0.2, 0.25], strict=True)))

    age = np.clip(rng.gamma(9.0, 5.2, customers) + np.where(plan == "family", 4, 0), 18, 92).round()
    household = np.clip(rng.poisson(np.where(plan == "family", 2.6, 0.8)) + 1, 1, 8)
    typical_months = np.select([contract == "two_year", contract == "yearly"], [46, 30], 15)
    tenure_months = np.clip(rng.gamma(1.6, typical_months / 1.6), 1, 144).round()
    list_price = pd.Series(plan).map(PLAN_PRICES).to_numpy(dtype=float)
    discount = np.select([contract == "two_year", contract == "yearly"], [0.84, 0.92], 1.0)
    monthly_charge = (list_price * discount * rng.normal(1.0, 0.07, customers) + 4.5 * (household - 1)).round(2)
    data_usage_gb = (rng.lognormal(2.3, 0.7, customers) * (list_price / 30) * np.where(age > 60, 0.55, 1.0)).round(1)
    outage_hours = rng.gamma(np.where(region == "islands", 2.4, 0.9), 2.0)
    support_calls = rng.poisson(0.5 + 0.13 * outage_hours)
    late_payments = rng.poisson(np.where(payment == "invoice", 1.1, 0.35))
    days_since_login = np.clip(
        rng.exponential(11, customers) + (support_calls == 0) * rng.exponential(5, customers), 0, 180
    )
    satisfaction = np.clip(rng.normal(8.2 - 0.75 * support_calls - 0.12 * outage_hours, 1.4), 1, 10).round()
    autopay = np.where(rng.random(customers) < np.where(payment == "invoice", 0.05, 0.66), "yes", "no")

    releases_behind = len(APP_RELEASES) - 1 - pd.Series(app_release).map(APP_RELEASES.index).to_numpy()
    better_offer_seen = rng.random(customers) < 0.13
    moved_away = rng.random(customers) < 0.025
    log_odds = (
        -1.9
        + np.select([contract == "two_year", contract == "yearly"], [-2.1, -0.9], 0.7)
        - 0.021 * tenure_months
        + 0.024 * (monthly_charge - 34)
        + 0.42 * support_calls
        - 0.42 * (satisfaction - 7)
        + 0.024 * days_since_login
        + 0.38 * late_payments
        + 0.11 * releases_behind
        - 0.45 * (autopay == "yes")
        + 0.5 * (region == "islands")
        - 0.012 * (age - 45)
        + 1.3 * better_offer_seen
        + 3.0 * moved_away
    )
    churned = rng.random(customers) < 1 / (1 + np.exp(-log_odds))

    table = pd.DataFrame(
        {
            "customer_id": [f"C{number:05d}" for number in rng.permutation(customers) + 10_000],
            "region": region,
            "plan": plan,
            "contract": contract,
            "payment_method": payment,
            "autopay": autopay,
            "age": age,
            "household_size": household,
            "tenure_months": tenure_months.astype(int),
            "monthly_charge": monthly_charge,
            "data_usage_gb": data_usage_gb,
            "support_calls_90d": support_calls,
            "late_payments_12m": late_payments,
            "days_since_login": days_since_login.round().astype(int),
            "satisfaction": satisfaction,
            "app_version": app_release,
            "churned": np.where(churned, "yes", "no"),
        }
    )
    # Who is unhappy answers a survey less often; a fifth of the customers never installed the app.
    unanswered = rng.random(customers) < np.where(satisfaction <= 5, 0.45, 0.27)
    return table.assign(
        satisfaction=table["satisfaction"].mask(unanswered),
        app_version=table["app_version"].mask(rng.random(customers) < 0.2),
        age=table["age"].mask(rng.random(customers) < 0.06),
        data_usage_gb=table["data_usage_gb"].mask(rng.random(customers) < 0.04),
        payment_method=table["payment_method"].mask(rng.random(customers) < 0.02),
    ).astype({"age": "Int64", "satisfaction": "Int64"})


if __name__ == "__main__":
    generate().to_csv(HERE / "churn.csv", index=False, lineterminator="\n")

"""Custom metrics: what users measure about their deployments themselves, and report by the hour."""

"""Prediction environments: where deployments run, and the prediction server that answers for them."""

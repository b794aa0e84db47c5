"""Deployments: packages that answer predictions, and what becomes of them."""

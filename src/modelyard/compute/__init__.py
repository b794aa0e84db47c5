"""Workloads and the machinery that executes them."""

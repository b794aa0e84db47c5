"""Runs of custom jobs: waiting for a place, executing, and what is kept of them."""

"""Execution environments: their versions, builds and images."""

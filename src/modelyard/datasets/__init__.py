"""Datasets: uploaded tables, their versions and what is in their columns."""

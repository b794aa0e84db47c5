"""Schedules: when a custom job runs by itself (supporting-endpoints A.16)."""

"""Credentials: what user code needs to get into other systems, stored encrypted."""

"""Custom tasks: how one is fitted, loaded and called, and a chain of them as one model."""

"""Tests of custom models: each check runs the model in the sandbox and says what it saw (seed 001)."""

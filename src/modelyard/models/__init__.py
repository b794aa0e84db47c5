"""Custom models: what is to be predicted, and the versions of the code that predicts it (seed 001)."""

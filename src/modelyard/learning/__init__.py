"""Projects, and the models that chains of custom tasks learn on their data."""

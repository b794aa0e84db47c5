"""Registered models and their versions, the model packages: what was made ready to be deployed."""

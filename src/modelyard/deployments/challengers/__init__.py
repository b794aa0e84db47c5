"""Challengers: packages that are proposed to take the place of a deployment's model."""

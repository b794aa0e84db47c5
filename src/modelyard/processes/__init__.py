"""The processes of an installation: api, gateway and controller, and the one that keeps the three up."""

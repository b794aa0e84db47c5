"""How fast Modelyard is, beside its peers and the floors that no server can go below. Run with `make bench`."""

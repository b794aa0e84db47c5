"""The data plane: takes predictions to the replicas of services. No database on the hot path."""

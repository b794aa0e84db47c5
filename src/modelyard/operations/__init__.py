"""Asynchronous work that survives any process: what a ``202`` started and ``/status/{id}/`` tells about."""

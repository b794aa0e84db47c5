"""The command line: a client of the REST API like any other. Imports nothing of the server."""

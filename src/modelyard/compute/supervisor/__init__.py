"""The supervisor: the small program beside each workload that owns its output, its limits and its exit code.

It runs as `python -I -S <this folder> <workload folder> <plan>`, the plan (see `plan.py`) being the number of an open
file that holds it as JSON. It imports nothing but the standard library and its own modules, and of the former only
what is quick to import: it has to start in a few milliseconds, and to go on whatever happens to the server that
started it.
"""

"""File trees: immutable versions of a folder, each file stored once."""

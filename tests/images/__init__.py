"""Tests of requirements, contexts, images and the built-in environments."""

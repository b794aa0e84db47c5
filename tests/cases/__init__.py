"""Inputs from reports of wrong answers: a folder each, with a model and bodies; the right values are in the tests."""

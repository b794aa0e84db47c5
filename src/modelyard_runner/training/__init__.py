"""The commands `train` and `predict`: a chain fitted on the parts of a table, and a table scored by a trained chain."""

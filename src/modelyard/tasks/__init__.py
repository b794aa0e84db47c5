"""Custom tasks: code that fits and transforms, as models of the type ``training`` (seed 000)."""

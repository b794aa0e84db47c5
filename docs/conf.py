"""How Sphinx makes the site out of these pages: ``make docs``."""

project = "Modelyard"
copyright = "Modelyard's authors"  # noqa: A001 # Sphinx names it so
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Modelyard"
exclude_patterns = ["_build"]
myst_heading_anchors = 3

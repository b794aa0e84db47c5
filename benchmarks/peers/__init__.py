"""The servers that Modelyard is compared with: a tiny application for each, and how it is installed and started."""

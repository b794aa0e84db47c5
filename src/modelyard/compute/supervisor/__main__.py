"""Start the supervisor from its folder, without the rest of Modelyard on the path."""

import importlib
import sys

sys.path[0] = sys.path[0].rpartition("/")[0]
importlib.import_module("supervisor.main").main(sys.argv[1:])

"""Models that run in this process: their hooks and artifacts, and the thread that calls them."""

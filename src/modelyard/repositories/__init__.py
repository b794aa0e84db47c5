"""Remote repositories: where code is kept elsewhere, and pulling files from there."""

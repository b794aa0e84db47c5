"""Remote repositories and pulling from them."""

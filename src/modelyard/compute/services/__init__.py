"""Services: workloads that stay up. What should run is a row; a reconciler makes it so, one step at a time."""

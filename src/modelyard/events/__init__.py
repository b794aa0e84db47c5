"""Events: what happened to deployments and jobs, for whoever looks and for programs that act on it."""

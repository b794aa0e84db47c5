"""What deployments did: prediction usage and service health, counted from real traffic."""

"""Custom jobs: a folder of files that runs to its end in the sandbox, on demand or on schedule (seed 003)."""

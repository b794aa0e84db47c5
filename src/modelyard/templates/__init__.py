"""Custom templates: folders of files with defaults, to make jobs, models and applications from."""

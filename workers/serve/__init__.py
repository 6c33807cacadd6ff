"""The local API: `python -m workers.serve <run folder>`."""

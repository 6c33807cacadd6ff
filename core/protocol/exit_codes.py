"""Exit codes of a worker, for the case that its last event could not be written."""

EXIT_OK = 0
EXIT_FAILED = 1
"""The run failed and its last event says why."""
EXIT_NO_EVENTS = 73
"""The event file could not be opened: read-only, or another worker has it (EX_CANTCREAT)."""
EXIT_DISK_FULL = 74
"""The last word could not be written: no room (EX_IOERR)."""

"""What makes tokens. One `Engine` protocol, so that a faster engine can replace the first one."""

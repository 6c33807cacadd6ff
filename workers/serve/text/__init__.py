"""From token events to the text a client gets."""

"""The API as clients see it: routes, guards, streams, figures."""

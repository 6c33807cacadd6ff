"""The default engine: continuous batching of our own over the modules that transformers loads."""

"""The fetch worker: brings a model of the catalogue into the library."""

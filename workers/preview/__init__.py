"""A look at training data as the model will see it; no weights are loaded."""

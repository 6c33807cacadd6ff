"""The worker that exports: a trained adapter by itself, or merged into its base model."""

"""Triton kernels. Imported only where Triton and a card are; see `workers.train.fast.support`."""

"""Fused operations: Triton kernels on cards that run them, plain torch everywhere else.

`reference.py` has every operation and says what it means. A kernel module `triton_*.py` offers
functions of the same names and signatures, and may offer `suits_<name>` with the same arguments:
a cheap look at shapes and types, never at values, that says whether the kernel takes them.
"""

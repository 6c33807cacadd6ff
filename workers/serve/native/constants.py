"""Numbers that code with and without torch shares."""

PAGE_TOKENS = 16
"""Small pages waste little at a row's end; kernels read whole pages."""
SCRATCH_PAGE = 0
"""Never handed out: padding rows of a recorded graph write there."""

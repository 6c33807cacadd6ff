"""What training says of its memory."""

import pytest

from workers.train.device import MemoryMeter


def test_a_card_that_was_not_used_yet_holds_nothing():
    """Memory of the host may run out before the card is ever touched; the error names figures."""
    if pytest.importorskip("torch").cuda.is_initialized():
        pytest.skip("another test of this process used the card")
    assert MemoryMeter("cuda").read_gib() == (0.0, 0.0)


def test_without_a_card_it_is_the_process_that_is_measured():
    now_gib, peak_gib = MemoryMeter("cpu").read_gib()
    assert 0 < now_gib <= peak_gib

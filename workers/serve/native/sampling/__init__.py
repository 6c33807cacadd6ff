"""From logits to tokens: sampling for the whole batch, and what an answer must obey.

Nothing is imported here: the front uses `grammar` and has no torch.
"""

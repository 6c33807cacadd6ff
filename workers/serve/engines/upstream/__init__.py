"""Other people's servers as engines: a child on a loopback port of its own, behind our gateway.

Only what our routes ask for reaches them, with a key that nobody else knows, so their own routes,
web pages and defaults are out of reach. Nothing here imports torch.
"""

"""Checks and repairs of what DeepDeck stands on. Standard library only: the bootstrap uses it
before anything is installed.
"""

"""Blocks that more than one network is made of; each stands here once, its variants are arguments."""

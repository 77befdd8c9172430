"""Peers, run on the same features."""

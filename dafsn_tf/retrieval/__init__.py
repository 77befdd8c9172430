"""Index and two-stage search."""

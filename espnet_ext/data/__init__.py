"""Corpora: making the embedded one, and checking the data directories of any."""

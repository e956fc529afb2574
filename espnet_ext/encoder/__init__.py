"""Encoder plugins."""

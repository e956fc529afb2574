"""Decoding of CTC models."""

"""Checkpoints and packed models: found, proven whole, and unpacked within limits."""

"""PROVISIONAL (overwritten by the real one)."""

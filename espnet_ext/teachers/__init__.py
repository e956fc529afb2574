"""The teacher: what it is asked for, how it is loaded, what of it is kept on disk."""

"""Pseudo-labels: a teacher transcribes audio, and what it is likely wrong about is left out."""

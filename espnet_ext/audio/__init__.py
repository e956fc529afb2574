"""Recordings: whether one is whole, and its samples. Needs neither PyTorch nor ESPnet."""

"""Models for other runtimes, checked against what ESPnet computes."""

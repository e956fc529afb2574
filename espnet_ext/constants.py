"""What all of training and decoding agrees on."""

BLANK_ID = 0  # ESPnet's CTC
# The STFT reflects half a window at the edges and fails where there is no half a window. No token is that short.
MIN_SAMPLES = 1600

"""The experiment matrix: what the rows of each table are, and how to run them."""

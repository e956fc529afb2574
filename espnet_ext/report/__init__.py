"""Results of a recipe: table, plots, and the display of a running training."""

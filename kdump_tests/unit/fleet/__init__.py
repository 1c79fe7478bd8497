"""Many groups of tests side by side, told with children of a few lines."""

"""What went wrong with a capture, and what went wrong although it succeeded."""

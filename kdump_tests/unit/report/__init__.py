"""What a run leaves behind, told with facts in place of guests."""

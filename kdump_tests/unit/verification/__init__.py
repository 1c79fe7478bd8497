"""Checks of the suite, each broken once."""

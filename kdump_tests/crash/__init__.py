"""Panicking a machine, and what that leaves as facts."""

"""Tests of this package itself: no guest, seconds."""

"""Tests of what guests are made of, without a guest."""

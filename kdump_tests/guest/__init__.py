"""Machines under test: images, libvirt, console, shell, and the life of a run."""

"""A module that commits a fault in the kernel that runs, built without that kernel's headers."""

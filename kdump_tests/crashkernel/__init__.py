"""The crashkernel= language: what it says, what a kernel makes of it, and asking a real kernel."""

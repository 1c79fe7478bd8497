"""Groups of tests side by side: as many at once as the host has room for, each in a process of its own.

The fleet does not know what a process does: it gets a command line and a text on standard input, says a
line now and then, and ends.
"""

"""How a crash is read, with consoles in place of guests."""

"""How a session of pytest is judged and how it is interrupted."""

"""THE SUITE: what must hold if a panic tonight shall leave a usable vmcore. Reads like a specification."""

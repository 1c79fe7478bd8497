"""One pytest session of the suite: what is shown, how it is interrupted, how outcomes become verdicts."""

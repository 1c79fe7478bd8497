"""One pytest session of the suite: what is asked, guests as they are wanted, outcomes, interruption."""

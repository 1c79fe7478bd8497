"""What holds for all unit tests."""

from hypothesis import settings

# A test that fails because its host was busy tells nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

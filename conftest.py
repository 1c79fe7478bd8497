"""Makes the suite's options and fixtures known wherever pytest is started in this project."""

pytest_plugins = ["kdump_tests.plugin"]

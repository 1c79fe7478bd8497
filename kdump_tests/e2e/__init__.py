"""The suite itself under test, with real guests: that it passes, that it fails, that it leaves nothing."""

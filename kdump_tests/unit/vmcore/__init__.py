"""What a dump is, told with dumps a few kilobytes small."""

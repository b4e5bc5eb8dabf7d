"""The commands of `norn`, one a file. What a command needs is imported when it runs, so that each starts at once."""

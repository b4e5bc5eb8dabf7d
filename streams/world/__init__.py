"""A day of the world, lived fast: run, tallied, and its cheap answers held against full ones."""

"""A game server that plays NetHack with many heroes at once, and tells Norn what happens to them."""

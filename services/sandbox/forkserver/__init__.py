"""What runs in the launcher, the slot servers and the runs: the standard library only, never root."""

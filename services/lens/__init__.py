"""Lens: energies, and the choice of the one program."""

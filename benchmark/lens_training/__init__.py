"""Trains energies C(x) from recorded pools, and says how good they are (docs/LENS.md)."""

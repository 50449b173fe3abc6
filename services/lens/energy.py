"""Energies C(x) over the model's hidden states. There are no weights yet, and it says so."""

from __future__ import annotations

from atlas.contracts import EnergyScore, Unavailable


def score(model: str) -> EnergyScore:
    """Return the energy of a candidate of `model`: for now always Unavailable, with the reason."""
    return Unavailable(reason=f"no lens weights for model '{model}'")

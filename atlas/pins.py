"""What a task's course depends on and its submitter does not choose, as it stands now."""

from __future__ import annotations

from atlas.events import Pins
from atlas.llama import ModelServer
from atlas.pipeline import PIPELINE_VERSION
from atlas.prompts import PROMPTS_SHA256
from atlas.selector import SELECTOR_SHA256


async def current_pins(server: ModelServer, lens_weights: str | None = None) -> Pins:
    """Return the pins of a task that is submitted now, with these Lens weights.

    Raises:
        ModelServerError: if the server cannot say which model it serves, or whether that thinks.
    """
    model, thinks = await server.model(), await server.thinking() is not None
    return Pins(
        pipeline=PIPELINE_VERSION,
        prompts_sha256=PROMPTS_SHA256,
        model=model,
        thinks=thinks,
        selector=SELECTOR_SHA256,
        lens_weights=lens_weights,
    )

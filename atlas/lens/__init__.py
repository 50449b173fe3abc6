"""The Lens: from what is known of a candidate to an energy, lower for programs that are likelier right.

What the service and the training both need, so that neither computes a feature its own way.
"""

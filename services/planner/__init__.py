"""Planner: plans and candidate programs from the model."""

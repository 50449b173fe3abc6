"""Gateway: the REST API, the only service the outside speaks to."""

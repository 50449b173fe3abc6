"""ATLAS: spend compute at answer time to make a frozen open-weights model a better programmer."""

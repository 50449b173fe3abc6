"""The services: hands that carry out commands. They import `atlas`, never each other."""

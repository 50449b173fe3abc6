"""Other systems on the same model server, tasks, budget and grader: see docs/PEERS.md."""

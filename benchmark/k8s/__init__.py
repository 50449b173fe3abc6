"""A run as a Kubernetes Job: `python benchmark/v3_runner.py --k8s` (docs/RUNNING_ON_A_CLUSTER.md)."""

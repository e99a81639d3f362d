"""The algorithms that run inside containers; of the harness they may import `harness.contract` alone."""

"""Synthetic cases with known truth, one generator for each modality of the challenge."""

"""LiteMedSAM, the challenge's baseline, as it was submitted: torch on the CPU, one box after the other.

Nothing is saved up: a volume's slice is encoded again for every box that it belongs to.  It is what other
submissions' runtimes are measured against, and the figure that their masks must equal.

Source: Ma et al., "Segment anything in medical images", and the challenge's published inference script.
"""

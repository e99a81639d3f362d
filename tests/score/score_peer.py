"""The official evaluator's figures, by DeepMind's package called as the challenge's script calls it."""

from __future__ import annotations

import warnings

import numpy as np


class Peer:
    """Needs `np.Inf` and `np.NaN`, which NumPy 2 has dropped: the fixture `peer` puts them back."""

    def class_dsc(self, gt, pred):
        from surface_distance import metrics

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metrics.compute_dice_coefficient(gt, pred)

    def class_nsd(self, gt, pred, spacing, tolerance=2.0):
        from surface_distance import metrics

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names of scipy that are going away, and 0/0
            distances = metrics.compute_surface_distances(gt, pred, spacing)
            return metrics.compute_surface_dice_at_tolerance(distances, tolerance)

    def score(self, gt, pred, spacing=None, tolerance=2.0, gate=0.2):
        """(dsc, nsd), not rounded; spacing None for an image."""
        labels = range(1, int(gt.max()) + 1)
        if not labels:
            return np.nan, 0.0
        dsc = np.mean([self.class_dsc(gt == i, pred == i) for i in labels])
        if not dsc > gate:
            return dsc, 0.0
        if spacing is None:
            gt, pred, spacing = gt[..., None], pred[..., None], (1.0, 1.0, 1.0)
        return dsc, np.mean([self.class_nsd(gt == i, pred == i, spacing, tolerance) for i in labels])

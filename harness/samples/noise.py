"""Random fields and the noise of imaging physics.

Each function draws the same number of random values for the same shape, whatever the data, so that a
rounding difference between processors never shifts the stream; only Poisson draws depend on their
means, which are therefore rounded first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from harness.samples.scene import Field

Sigma = float | Sequence[float] | Field


def blur(values: Field, sigma_px: Sigma) -> Field:
    """Gaussian point-spread function; `sigma_px` for all axes or for each."""
    out: Field = ndimage.gaussian_filter(values, sigma_px, mode="nearest")
    return out


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], sigma_px: Sigma) -> Field:
    """Gaussian random field of mean 0 and standard deviation 1 with a given correlation length."""
    field = blur(rng.standard_normal(shape), sigma_px)
    scaled: Field = (field - field.mean()) / max(float(field.std()), 1e-12)
    return scaled


def power_law_field(rng: np.random.Generator, shape: tuple[int, int], exponent: float) -> Field:
    """Field whose power spectrum falls as 1/f^exponent, mean 0 and standard deviation 1.

    Breast parenchyma follows an exponent of about 3 (Burgess, Jacobson and Judy, Med Phys 2001).
    """
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * radius ** (-exponent / 2), s=shape)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float64)


def speckle_envelope(rng: np.random.Generator, amplitude: Field, sigma_px: Sigma) -> Field:
    """Envelope of fully developed speckle: many scatterers of random phase within the point spread.

    Where the amplitude is constant the envelope is Rayleigh distributed with mean square amplitude^2.
    """
    parts = []
    gain = _gain(amplitude.ndim, sigma_px)
    for _ in range(2):
        parts.append(blur(amplitude * rng.standard_normal(amplitude.shape), sigma_px) / gain)
    return np.asarray(np.hypot(parts[0], parts[1]) / np.sqrt(2.0), dtype=np.float64)


def _gain(axes: int, sigma_px: Sigma) -> float:
    """Standard deviation that the blur leaves of white noise with standard deviation 1."""
    sigmas = [float(sigma_px)] * axes if isinstance(sigma_px, int | float) else [float(s) for s in sigma_px]
    gain = 1.0
    for sigma in sigmas:
        impulse = np.zeros(2 * int(np.ceil(4 * sigma)) + 3)
        impulse[len(impulse) // 2] = 1.0
        gain *= float(np.sqrt((ndimage.gaussian_filter1d(impulse, sigma) ** 2).sum()))
    return gain


def poisson(rng: np.random.Generator, mean_counts: Field) -> Field:
    """Photon or decay counts."""
    return rng.poisson(np.round(np.maximum(mean_counts, 0), 3)).astype(np.float64)


def rician(rng: np.random.Generator, signal: Field, sigma: float) -> Field:
    """Magnitude of a complex MR signal with Gaussian noise in both channels."""
    real = signal + sigma * rng.standard_normal(signal.shape)
    imaginary = sigma * rng.standard_normal(signal.shape)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float64)

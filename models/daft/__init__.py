"""DAFT: one set of weights per modality, chosen by the case's file name as the published program chooses.

Source: Pfefferle, Purucker and Hutter, "DAFT: Data-aware fine-tuning of foundation models for efficient and
effective medical image segmentation"; the rule is their final submission's, in which ultrasound and whatever
the name leaves open are LiteMedSAM's.  After the challenge the same authors gave all volumes one shared model.
"""

from __future__ import annotations

#: LiteMedSAM's own weights.
ELSE = "lite_medsam"
#: Trained on all modalities together; stands in for a model that is not there.
GENERAL = "general"

#: Trained on volumes: all but CT's, or all of them.
VOLUMES = "3D"

#: Models by what a name begins with.
_BEGINNINGS = {
    VOLUMES: ("3DBox_PET", "3DBox_MR", "2DBox_MR", "2DBox_PET"),
    "CT": ("3DBox_CT", "2DBox_CT"),
    "XRay": ("2DBox_X-Ray", "2DBox_XRay", "2DBox_CXR", "2DBox_XR"),
    ELSE: ("2DBox_US", "2DBox_Ultra"),
    "Fundus": ("2DBox_Fundus",),
    "Endoscopy": ("2DBox_Endoscopy", "2DBox_Endoscope"),
    "Dermoscopy": ("2DBox_Dermoscope", "2DBox_Dermoscopy"),
    "Microscopy": ("2DBox_Microscope", "2DBox_Microscopy"),
    "Mammography": ("2DBox_Mamm",),
    "OCT": ("2DBox_OCT",),
}
#: What is then looked for anywhere in the name; the first that is there decides, OCT before CT.
_ANYWHERE = (
    ("Microscope", "Microscopy"),
    ("Microscopy", "Microscopy"),
    ("Dermoscopy", "Dermoscopy"),
    ("Endoscopy", "Endoscopy"),
    ("Fundus", "Fundus"),
    ("X-Ray", "XRay"),
    ("XRay", "XRay"),
    ("PET", VOLUMES),
    ("OCT", "OCT"),
    ("MR", VOLUMES),
    ("Mamm", "Mammography"),
    ("US", ELSE),
    ("CT", "CT"),
)
#: All models that a name can lead to.
MODELS = tuple(sorted({*_BEGINNINGS, *(model for _, model in _ANYWHERE), ELSE}))


def model_of(case: str, shared: bool = False) -> str:
    """The model for a case of this name; capitals count, as published.

    Args:
        case: its name.
        shared: whether all volumes, and what else would go to CT's model, share one.
    """
    model = _published_model_of(case)
    return VOLUMES if shared and (case.startswith("3D") or model == "CT") else model


def _published_model_of(case: str) -> str:
    for model, beginnings in _BEGINNINGS.items():
        if case.startswith(beginnings):
            return model
    return next((model for part, model in _ANYWHERE if part in case), ELSE)


def candidates(case: str, shared: bool = False) -> tuple[str, ...]:
    """The models for a case in the order in which they are looked for; arguments as `model_of`."""
    return model_of(case, shared), GENERAL, ELSE

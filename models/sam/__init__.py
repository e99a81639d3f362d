"""The segment-anything family in torch: three image encoders, one prompt encoder, one mask decoder.

==============  ===========================================================================
module          subject
==============  ===========================================================================
`layers`        what the parts share
`tinyvit`       image encoder of LiteMedSAM
`efficientvit`  image encoders of MedficientSAM (L1) and DAFT (L0)
`repvit`        image encoder of RepMedSAM
`prompt`        boxes to tokens
`decoder`       tokens and image embedding to masks
`network`       the three parts together
==============  ===========================================================================

Every module's parameters bear the names of the published checkpoints, so that these load strictly.
"""

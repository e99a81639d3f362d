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
`winograd`      3x3 convolutions of fewer multiplications
`lean_...`      encoders and decoder rearranged for inference, which is what is exported (RepViT's in its own module)
==============  ===========================================================================

Every module's parameters bear the names of the published checkpoints, so that these load strictly; but not the lean
ones', which take over the weights of the others.
"""

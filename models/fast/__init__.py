"""The published algorithms on OpenVINO, with what the published programs compute several times computed once.

Masks are those of the published order (box after box, slice after slice); only the order of the work differs.
numpy, OpenCV and OpenVINO suffice: torch is needed where the networks are exported (`models.export`), not here.
"""

# LiteMedSAM, the challenge's baseline, as it was submitted: torch on the CPU, nothing saved up.
#
#   docker build -t litemedsam .
#
# Weights are random, as the image's label says, unless a checkpoint lies in the folder checkpoints/:
#
#   docker build -t litemedsam --build-arg CHECKPOINT=lite_medsam.pth .
#
# Without a registry or a network, see docs/samples.md.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# Empty is as unset: packages then come from the index.  1: from the folder wheels/models/ alone.
ARG PIP_NO_INDEX=
# The index's own torch for Linux brings gigabytes of CUDA; the CPU builds lie in an index of their own.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY docker/requirements-torch.txt /requirements.txt
COPY wheels/models/ /wheels/
# Nothing that only developers need stays: tests, headers, programs, stubs, static libraries.
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
        --target /opt/site --find-links /wheels --extra-index-url "$TORCH_INDEX" --constraint /requirements.txt \
        torch numpy opencv-python-headless matplotlib \
    && mv /opt/site/torch/bin/torch_shm_manager /tmp \
    && find /opt/site -depth \( -type d \( -name tests -o -path /opt/site/torch/test -o -name include -o -name bin \) \
        -o -type f \( -name "*.pyi" -o -name "*.pxd" -o -name "*.a" \) \) -exec rm -rf {} + \
    && mkdir /opt/site/torch/bin && mv /tmp/torch_shm_manager /opt/site/torch/bin/ \
    && python -m compileall -q -x py312_ --invalidation-mode unchecked-hash /opt/site
WORKDIR /workspace
# A file's name in checkpoints/; empty: random weights.
ARG CHECKPOINT=
COPY docker/requirements-torch.txt checkpoint[s] /checkpoints/
RUN mkdir weights && if [ -n "$CHECKPOINT" ]; then cp "/checkpoints/$CHECKPOINT" weights/lite_medsam.pth; fi
COPY harness/__init__.py harness/errors.py harness/npz.py harness/contract.py harness/
COPY models/__init__.py models/algorithms.py models/checkpoints.py models/geometry.py models/phases.py models/
COPY models/sam/ models/sam/
COPY models/fast/__init__.py models/fast/pipeline.py models/fast/
COPY models/litemedsam/ models/litemedsam/
COPY docker/litemedsam/predict.sh ./
RUN python -m compileall -q --invalidation-mode unchecked-hash . \
    && PYTHONPATH=/opt/site python -c "import models.litemedsam.__main__, models.litemedsam.overlay" \
    && mkdir inputs outputs \
    && chmod -R a+rX . /opt/site

FROM ${BASE}
COPY --from=build /opt/site /opt/site
COPY --from=build /workspace /workspace
ENV PYTHONPATH=/opt/site PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp
WORKDIR /workspace
ARG CHECKPOINT=
LABEL cvpr24.weights="${CHECKPOINT:-random, seed 2024}" cvpr24.mode="published" cvpr24.variant="f32-f32-stride1"
# A volume made without an owner takes this folder's.
RUN chown 1000:1000 outputs
USER 1000:1000

"""`python -m models describe`: size, work and input of each algorithm."""

from __future__ import annotations

import argparse
import json

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.algorithms import ALGORITHMS, Algorithm, build

SUMMARY = "Print parameters, multiply-accumulates and input contract of each algorithm."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--algorithm", choices=sorted(ALGORITHMS), help="this one alone")
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(args: argparse.Namespace) -> int:
    """Count and print."""
    chosen = [ALGORITHMS[args.algorithm]] if args.algorithm else list(ALGORITHMS.values())
    facts = [describe(algorithm) for algorithm in chosen]
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    for fact in facts:
        print(f"{fact['algorithm']}: {fact['title']}")
        for part in ("image_encoder", "prompt_encoder", "mask_decoder"):
            print(f"  {part:15} {fact['parameters'][part]:>11,} parameters")
        in_all = f"{fact['parameters']['all']:>11,} parameters, {fact['state_entries']} entries in a checkpoint"
        print(f"  {'in all':15} {in_all}")
        print(f"  work            {fact['gmacs']['encode']:.1f} GMAC an image, {fact['gmacs']['decode_box']:.2f} a box")
        print(f"  input           {fact['input']}")
    return 0


def describe(algorithm: Algorithm) -> dict[str, object]:
    """Counts of one algorithm; GMACs are of one image and of one box."""
    # Counts need shapes alone: on the meta device nothing is computed.
    network = build(algorithm).to("meta")
    parts = ("image_encoder", "prompt_encoder", "mask_decoder")
    parameters = {part: sum(p.numel() for p in getattr(network, part).parameters()) for part in parts}
    side = algorithm.input_size
    with torch.inference_mode(), FlopCounterMode(display=False) as encoding:
        embedding = network.image_encoder(torch.zeros(1, 3, side, side, device="meta"))
    with torch.inference_mode(), FlopCounterMode(display=False) as decoding:
        network.decode(embedding, torch.zeros(1, 4, device="meta"))
    return {
        "algorithm": algorithm.name,
        "title": algorithm.title,
        "encoder": algorithm.encoder,
        "parameters": parameters | {"all": sum(parameters.values())},
        "state_entries": len(network.state_dict()),
        # A multiply and an add are two operations.
        "gmacs": {"encode": encoding.get_total_flops() / 2e9, "decode_box": decoding.get_total_flops() / 2e9},
        "input": f"image (1, 3, {side}, {side}) float32 in [0, 1], zeros right and below; boxes in its pixels",
    }

"""How fast a network answers: up to 10,000 images, and one image alone, beside PyTorch on the same machine.

    python benchmarks/inference.py
    python benchmarks/inference.py --networks cnn2 resnet9 --malloc tuned

Both give probabilities for float32 images, pellucid through ``predict``, PyTorch in inference mode, in both of its memory
formats and batches of the same size. Where a round of 10,000 images each would take more than ``--seconds``, it has fewer, at
least 1,000; the result says how many. Measured and reported as in ``training.py``.
"""

import harness


def main() -> int:
    """Measure, print, save; 1 if a network was refused."""
    parser = harness.parser(__doc__, runs=9)
    parser.add_argument("--images", type=harness.positive, default=10_000, metavar="N", help="default: 10000")
    parser.add_argument("--batch", type=harness.positive, default=256, metavar="N", help="default: 256")
    parser.add_argument("--seconds", type=float, default=1.2, metavar="X", help="of a round of all; default: 1.2")
    harness.add_torch_options(parser)
    return harness.compare("inference", parser.parse_args(), ("batch", "images", "seconds"))


if __name__ == "__main__":
    raise SystemExit(main())

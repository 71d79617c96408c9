"""How fast a network trains: forward, backward and a step of SGD, beside PyTorch on the same machine.

    python benchmarks/training.py                                    # every network of the zoo, batches of 64
    python benchmarks/training.py --networks resnet9 --batch 128 --runs 9
    python benchmarks/training.py --malloc tuned --compiled          # PyTorch with all it can do
    python benchmarks/training.py --bfloat16                         # our float32, and our bfloat16, against PyTorch's bfloat16

Both libraries live in one process with the same number of threads and take turns; PyTorch runs in both of its memory formats,
and the ratio is taken against the quicker one. A network is timed only after its numbers were found equal. The ratio is the
median over rounds of (PyTorch's time / ours in the same round), given with its quartiles.
"""

import harness


def main() -> int:
    """Measure, print, save; 1 if a network was refused."""
    parser = harness.parser(__doc__)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument(
        "--seconds", type=float, default=0.2, metavar="X", help="of a contender in a round; default: 0.2"
    )
    harness.add_torch_options(parser)
    return harness.compare("training", parser.parse_args(), ("batch", "seconds"))


if __name__ == "__main__":
    raise SystemExit(main())

"""Is the PyTorch network that is timed beside ours the same network? See ``pellucid.benchmark.pytorch.check``.

python benchmarks/check_twin.py [--networks cnn2 resnet20] [--batch 64]
"""

import harness


def main() -> int:
    """Check the chosen networks and print a row for each; 1 if one differs."""
    parser = harness.parser(__doc__, runs=1)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="default: 64")
    options = parser.parse_args()
    harness.prepare(options)
    from pellucid import PellucidError
    from pellucid.benchmark import networks
    from pellucid.benchmark.pytorch import check

    failed = 0
    print("network          float64  pellucid float32  PyTorch float32: the largest relative error of any gradient")
    for name in harness.network_names(options.networks):
        model = networks.network(name)
        try:
            errors = check.check(model, *networks.images(model, options.batch))
            row = "  ".join(f"{errors[key]:.1e}" for key in ("float64", "pellucid", "PyTorch"))
        except PellucidError as error:
            failed += 1
            row = f"DIFFERS: {error}"
        print(f"{name:15}  {row}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The command ``pellucid`` with every network in float64, which no setting asks for: the other precision of the torture."""

import sys

import numpy as np

from pellucid import cli
from pellucid.run import prepare

compile_in_float32 = prepare.compile_model


def compile_in_float64(model, config):
    compile_in_float32(model, config)
    model.astype(np.float64)


if __name__ == "__main__":
    prepare.compile_model = compile_in_float64
    sys.exit(cli.main())

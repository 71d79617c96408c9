"""One thread for NumPy's matrix products: they are small here, and threads that wait for a busy core make them slower.

It must be set before NumPy is loaded, which is why it stands here; subprocesses inherit it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

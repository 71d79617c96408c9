"""How fast a network is, alone and beside PyTorch: what ``pellucid bench`` and the scripts in ``benchmarks/`` share.

``throughput`` measures images per second, ``warm_up`` compiles kernels ahead. ``training`` and ``inference`` compare with PyTorch
(``against_torch`` runs them, network after network): both libraries do the same work on the same numbers, take turns, and
are only timed once their results agree. What needs PyTorch lives in ``pytorch`` and is imported when somebody compares;
nothing else in pellucid knows of it. Every result carries a receipt (``receipt``).
"""

"""How fast two of the book's models train on this machine's card or processor: ``python -m book card``.

``program.py`` measures, in the environment of the chosen backend; ``flops.py`` counts, ``steps.py`` makes one training step;
``receipt.py`` keeps what was measured, and ``page.py`` shows it.
"""

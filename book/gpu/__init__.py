"""What the book knows of graphics cards: findings, verdicts, and a meter of memory and energy."""

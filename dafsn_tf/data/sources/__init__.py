"""One small reader for each native layout; all yield `Item`s."""

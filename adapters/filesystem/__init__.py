"""Session-log archives on a local disk."""

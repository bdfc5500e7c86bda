"""Redis: the pool of connections (`pool`), and one module for each use of it."""

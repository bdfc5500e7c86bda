"""Redis: the connection pool (`pool`), and a module for each use of it."""

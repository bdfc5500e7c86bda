"""What the processes tell about themselves, for programs: traces and metrics."""

"""Pages in headless Chromium. Skipped where there is no Chromium."""

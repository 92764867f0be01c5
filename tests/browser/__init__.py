"""Pages and drawings in a real browser: a headless Chromium. Without one on this machine, these tests are skipped."""

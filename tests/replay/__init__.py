"""Recorded histories of every workflow, and the test that today's code still replays them."""

"""Recorded histories of every workflow, and the test that the present code replays them."""

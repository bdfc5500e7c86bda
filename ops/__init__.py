"""What operators see and steer: sagas, relays, pending effects, drift, and what to do next.

`cart ops` prints it, and the operators' page shows it. Reads are by queries, changes by signals;
nothing terminates a run.
"""

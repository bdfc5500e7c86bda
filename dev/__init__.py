"""What only developers use: the local stack, the bench, the demo, the reference inventory, and what
writes the dashboards and documents. The wheel does not have it; nothing that ships imports it.
"""

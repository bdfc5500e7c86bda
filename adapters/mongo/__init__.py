"""MongoDB: the client (`client`), and a module for each group of queries.

The stores without a client of their own use the documents that `client.connect` has bound.
"""

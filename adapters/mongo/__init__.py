"""MongoDB: the client (`client`), and one module for each thing that is stored or read."""

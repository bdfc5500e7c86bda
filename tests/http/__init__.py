"""HTTP as clients, proxies and attackers speak it, against the real server on a socket."""

"""What the client tests stand on: servers to start and kill, real data, and an independent oracle.

Start reading at `servers.py`, then `flights.py` and `oracle.py`.
"""

"""Trimtab beside the servers that people use for this today, on the same samples: `python -m bench.peers`."""

"""The demo: the lab, the loop as a process of its own, a script of faults, and what came of each."""

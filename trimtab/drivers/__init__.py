"""What drives the machines: live, replay, and the parts they share. Machine factories are handed in."""

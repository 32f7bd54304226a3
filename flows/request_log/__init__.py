"""What a server remembers: a log of answered requests, and the right answers that clients sent afterwards."""

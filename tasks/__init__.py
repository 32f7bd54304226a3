"""The work itself: seven stages, and the use cases, networks and compression steps they are given."""

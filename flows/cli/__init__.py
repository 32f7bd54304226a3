"""The command line `bonsai`."""

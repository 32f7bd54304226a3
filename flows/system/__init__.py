"""Operating system: processes, file locks, and the code and machine that a run used."""

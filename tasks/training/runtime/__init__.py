"""How a fit runs on the machine: reproducibly, in which precision, in how many processes."""

"""Which channels of any network belong together: found by following every index of its tensors through the exported graph."""

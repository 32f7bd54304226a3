"""Problems that more than one use case may have: their loss, decoding, metrics, report and baselines."""

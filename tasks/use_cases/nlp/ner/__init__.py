"""Named entities: features, CRF loss, metrics."""

"""Classic models as ONNX graphs: linear models and boosted trees on tables, kernels on arrays, linear models on term counts."""

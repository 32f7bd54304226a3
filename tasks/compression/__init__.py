"""The parts of compress: export to ONNX, product quantization, training with a teacher."""

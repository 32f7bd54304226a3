"""Replace large matrices by products of two thin ones, from a truncated singular value decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


@settings
class Lowrank:
    """Each matrix that a product or a lookup reads becomes two of the smallest rank that keeps enough of its squares.

    The best approximation of a rank is that of the largest singular values (C. Eckart, G. Young, Psychometrika 1, 1936). A matrix
    that would not get smaller stays as it is.
    """

    changes: ClassVar[Literal["format"]] = "format"

    keep: Share = 0.95
    """Share of a matrix's sum of squares that is kept."""
    min_values: Annotated[int, Field(ge=1)] = 1024
    """Matrices with fewer values stay as they are."""

    def __call__(self, model: bytes, context: CompressionContext) -> bytes:
        from onnx import numpy_helper

        from tasks.compression import onnx_export
        from tasks.core import onnx_model

        proto = onnx_model.from_bytes(model)
        graph, ranks = proto.graph, dict[str, list[int]]()
        constants = {tensor.name: tensor for tensor in graph.initializer}
        readers = [node for node in graph.node if node.op_type in ("MatMul", "Gemm", "Gather")]
        for node in readers:
            place = 0 if node.op_type == "Gather" else 1
            tensor = constants.get(node.input[place])
            if tensor is None or len(tensor.dims) != 2 or sum(tensor.name in other.input for other in graph.node) > 1:
                continue
            matrix = numpy_helper.to_array(tensor)
            if matrix.dtype != "float32" or matrix.size < self.min_values:
                continue
            transposed = node.op_type == "Gemm" and _attribute(node, "transB", 0) == 1
            first, second = self._factors(matrix.T if transposed else matrix)
            if first.shape[1] * sum(matrix.shape) >= matrix.size:
                continue
            _split(graph, node, place, first, second)
            ranks[tensor.name] = [*matrix.shape, first.shape[1]]
        metadata = onnx_model.read_metadata(proto)
        onnx_export.set_metadata(proto, metadata)
        context.notes["lowrank"] = {"ranks": ranks}
        return onnx_model.to_bytes(proto)

    def _factors(self, matrix: Any) -> tuple[Any, Any]:
        """Two matrices (rows, rank) and (rank, columns) whose product keeps a share `keep` of the matrix's squares."""
        import numpy as np

        left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        kept = np.cumsum(values**2) / max(float((values**2).sum()), 1e-30)
        rank = min(len(values), 1 + int(np.searchsorted(kept, self.keep)))
        roots = np.sqrt(values[:rank])
        return (left[:, :rank] * roots).astype(np.float32), (roots[:, None] * right[:rank]).astype(np.float32)


def _split(graph: GraphProto, node: NodeProto, place: int, first: Any, second: Any) -> None:
    """Let the node read `first` and a new product with `second` follow it, or for a Gemm precede it."""
    from onnx import helper, numpy_helper

    name = node.input[place]
    graph.initializer.extend([numpy_helper.from_array(first, f"{name}_first"), numpy_helper.from_array(second, f"{name}_second")])
    position = list(graph.node).index(node)
    if node.op_type == "Gemm":
        graph.node.insert(position, helper.make_node("MatMul", [node.input[0], f"{name}_first"], [f"{name}_thin"]))
        node.input[0], node.input[1] = f"{name}_thin", f"{name}_second"
        kept = [attribute for attribute in node.attribute if attribute.name != "transB"]
        del node.attribute[:]
        node.attribute.extend(kept)
        return
    output = node.output[0]
    node.input[place], node.output[0] = f"{name}_first", f"{name}_thin"
    graph.node.insert(position + 1, helper.make_node("MatMul", [f"{name}_thin", f"{name}_second"], [output]))


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)

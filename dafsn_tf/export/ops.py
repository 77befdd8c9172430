"""The ops that an exported graph may hold, and the oldest server that knows them all.

Whatever is not listed stops an export: an op that a stock server has not got fails there at load, and one that reads
files, runs Python or draws random numbers has no business in a graph that strangers send bytes to.
"""

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from dafsn_tf.errors import ExportError

# Exports that hold these were loaded, and answered the same, in TensorFlow 2.18.1, 2.20.0 and 2.21.0 sessions; stock
# servers of 2.18 and 2.19 link tensorflow-text 2.12.1, those of 2.20 link 2.20.0, which have the text ops.
OLDEST_SERVER = "2.18"
NO_WEBP_BEFORE = "2.20"  # older servers answer a WebP with the status "cannot be decoded"
_TEXT = "CaseFoldUTF8 NormalizeUTF8 RegexSplitWithOffsets"
_CORE = """
    AddN AddV2 All Any ArgMax Assert AssignVariableOp AvgPool BatchMatMulV2 BiasAdd BitwiseAnd Case Cast ConcatV2
    ConcatenateDataset Const Conv2D DatasetToSingleElement DecodeBmp DecodeImage DecodeJpeg DecodePaddedRaw DecodeRaw
    DisableCopyOnRead Einsum EnsureShape Equal Exp ExpandDims ExtractJpegShape Fill FloorDiv FloorMod FusedBatchNormV3
    GatherNd GatherV2 Greater GreaterEqual HashTableV2 Identity IdentityN If IgnoreErrorsDataset IsFinite L2Loss
    LeakyRelu LeftShift Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr LookupTableFindV2 LookupTableImportV2
    MapDataset MatMul Max MaxPool Maximum Mean MergeV2Checkpoints Min Minimum Mul Neg NoOp NotEqual OnesLike Pack Pad
    PadV2 PartitionedCall Placeholder Pow Prod RaggedTensorToTensor Range Rank ReadVariableOp RealDiv Relu Relu6 Reshape
    ResourceGather RestoreV2 ReverseV2 RightShift Rsqrt SaveV2 ScaleAndTranslate Select SelectV2 Shape ShardedFilename
    Sigmoid Size Slice Softmax Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf
    StatelessWhile StaticRegexFullMatch StaticRegexReplace StopGradient StridedSlice StringJoin StringLength
    StringToHashBucketFast Sub Substr Sum TakeDataset Tanh TensorDataset TensorListFromTensor TensorListGetItem
    TensorListReserve TensorListSetItem TensorListStack Tile TopKV2 Transpose Unpack VarHandleOp VarIsInitializedOp
    Where While ZerosLike
"""
ALLOWED = frozenset(_CORE.split()) | frozenset(_TEXT.split())


def graph_ops(folder: Path) -> set[str]:
    """Return the names of all ops in a SavedModel, those of its functions included."""
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [meta_graph.graph_def for meta_graph in saved_model.meta_graphs]
    nodes = {node.op for graph in graphs for node in graph.node}
    functions = {function.signature.name for graph in graphs for function in graph.library.function}
    inner = {node.op for graph in graphs for function in graph.library.function for node in function.node_def}
    return (nodes | inner) - functions


def check_ops(folder: Path) -> None:
    """Refuse a SavedModel that holds an op outside `ALLOWED`.

    Raises:
        ExportError: naming each of them.
    """
    unknown = sorted(graph_ops(folder) - ALLOWED)
    if unknown:
        raise ExportError(
            f"The graph holds ops that are not on the list of what stock servers of {OLDEST_SERVER} and later load: "
            f"{', '.join(unknown)}. Express that part by listed ops, or extend dafsn_tf/export/ops.py with the oldest "
            "server that has them; nothing was published."
        )

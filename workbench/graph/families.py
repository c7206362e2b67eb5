"""Which family an operator belongs to: the colour of its box, as plain data."""

from __future__ import annotations

_MEMBERS: dict[str, str] = {
    "convolution": """Conv ConvTranspose DeformConv ConvInteger QLinearConv FusedConv NhwcConv""",
    "matmul": """Gemm MatMul MatMulInteger QLinearMatMul QGemm Einsum Attention MultiHeadAttention FusedMatMul
        FusedGemm MatMulNBits GroupQueryAttention""",
    "normalization": """BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization
        SimplifiedLayerNormalization SkipLayerNormalization EmbedLayerNormalization LpNormalization
        MeanVarianceNormalization LRN""",
    "activation": """Relu LeakyRelu PRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Swish Tanh Softmax LogSoftmax
        Hardmax Softplus Softsign ThresholdedRelu Gelu FastGelu BiasGelu QuickGelu Mish Clip Erf Shrink""",
    "pooling": """MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool MaxUnpool MaxRoiPool
        RoiAlign QLinearAveragePool QLinearGlobalAveragePool ReduceMean ReduceMax ReduceMin ReduceSum
        ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare ArgMax ArgMin""",
    "elementwise": """Add Sub Mul Div Pow Sqrt Exp Log Abs Neg Sign Floor Ceil Round Reciprocal Min Max Mean Sum Mod And
        Or Xor Not Equal Greater GreaterOrEqual Less LessOrEqual Where IsNaN IsInf Sin Cos Tan Asin Acos
        Atan Sinh Cosh Asinh Acosh Atanh BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot CumSum
        QLinearAdd QLinearMul Affine ImageScaler""",
    "shape": """Reshape Transpose Flatten Squeeze Unsqueeze Concat Split Slice Gather GatherElements GatherND
        Scatter ScatterElements ScatterND Expand Tile Pad Crop Shape Size Resize Upsample DepthToSpace
        SpaceToDepth Identity Dropout Cast CastLike Constant ConstantOfShape Range OneHot NonZero EyeLike
        Trilu Compress ReverseSequence Unique TopK CenterCropPad GridSample AffineGrid Col2Im
        NonMaxSuppression""",
    "quantize": """QuantizeLinear DequantizeLinear DynamicQuantizeLinear DynamicQuantizeMatMul""",
    "recurrent": """LSTM GRU RNN DynamicQuantizeLSTM""",
    "control": """If Loop Scan SequenceMap BeamSearch GreedySearch Sampling""",
}

_FAMILY: dict[str, str] = {op: family for family, ops in _MEMBERS.items() for op in ops.split()}

OTHER = "other"
INPUT = "input"
OUTPUT = "output"
FAMILIES: tuple[str, ...] = (*_MEMBERS, OTHER)


def family_of(op: str) -> str:
    """Return the family of an operator; "other" for one that no family lists."""
    return _FAMILY.get(op, OTHER)

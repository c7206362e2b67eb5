"""Prints, for every shared model, how much of it can be pruned and what blocks the rest.

    python tests/benchmarks/channel_coverage.py [SHARED_FOLDER]

Columns: prunable channel groups of all; share of the convolutions' weights, and of all layers' weights, that some
removable unit takes away, be it among their output channels or among those they read; share of the layers' weights
whose own output channels can go; seconds of group discovery; and what keeps most weights from losing output channels.

Measured (seconds on two shared cores). `conv` and `all` are the shares of weights that pruning can reach:

    model                          groups    conv     all   outputs  what blocks the rest
    resnet20 (3 files), resnet56    all-1    100.0%  100.0%   99.8%  the classes are the graph's output
    deeplab_v3_mnv2                 27/28    100.0%  100.0%   99.2%  graph output
    fastestdet                      35/37    100.0%  100.0%   96.5%  graph output
    litemono_tiny_decoder             6/6    100.0%  100.0%   99.9%  one output channel
    mnist_burn                        4/5    100.0%  100.0%   99.9%  graph output
    mnist_cntk_op8                    2/3    100.0%  100.0%   57.0%  graph output (43 % of its weights are the head)
    mnist_quantized                   2/3    100.0%  100.0%   57.0%  the same, ConvInteger and MatMulInteger
    oww_embedding                   19/20    100.0%  100.0%   91.5%  graph output
    ppocr_v1_det                    29/29    100.0%  100.0%  100.0%  one output channel
    road_seg_adas0001               53/54    100.0%  100.0%  100.0%  graph output
    squeezenet_fp16                 25/26    100.0%  100.0%   58.4%  graph output (its last convolution is the head)
    style_candy_op7                 10/11    100.0%  100.0%   99.1%  graph output
    super_resolution_op10, sr_…       3/4    100.0%  100.0%   95.6%  pixel shuffle makes the graph's output of them
    tbefn_lowlight                  34/36    100.0%  100.0%   99.7%  graph input and output
    ultraface_rfb320                25/29    100.0%  100.0%   82.5%  graph outputs (boxes, scores)
    ultraface_slim320_nopost        15/19    100.0%  100.0%   81.4%  graph outputs
    winml_image_classifier            4/5    100.0%  100.0%   52.1%  graph output
    yolox_nano                      67/69    100.0%  100.0%   98.2%  graph output
    yunet_n_dynamic                 16/22     99.4%   99.4%   95.1%  graph outputs
    magika_standard_v3_3              2/3    100.0%  100.0%   86.0%  graph output
    basic_pitch_nmp                   3/4      9.0%    9.0%    8.4%  89.9 % are the fixed filters of a constant-Q
                                                                     transform: their outputs become frequency, along
                                                                     which they are shifted by harmonics and convolved,
                                                                     so none can go. Of the 16,625 weights of the
                                                                     learned convolutions 99.9 % can
    gtcrn_stream, …_simple     5/25, 2/22     35.4%    9.5%    5.9%  67.6 % are a filter bank of the input, whose bands
                                                                     are gathered by index; the channels of the
                                                                     rest stand in the streaming caches, which are graph
                                                                     inputs and outputs of fixed size, or are shuffled
                                                                     between skips that tie all of them together
    bert_toy_optimized              13/15         -  100.0%   94.4%  graph outputs; heads, MLPs and the stream can go
    tf_bert_qa_excerpt              49/50         -  100.0%   99.9%  graph output; heads, MLPs and the stream can go
    gpt2_past                       12/25         -   63.6%   31.8%  MLPs can go; heads reach the caches of the past,
                                                                     the stream is the graph's output
    byte_sb_bidi_lstm                 3/4         -  100.0%   99.9%  graph output
    stock_lstm                        1/1         -  100.0%   99.8%  one output channel
    reversi_ai                        3/4         -  100.0%   90.9%  graph output
    silero_vad, tiny_gpt2_beamsearch  0/0         -       -       -  all layers lie in the bodies of If and BeamSearch
    edge_conv_qdq…, edge_cntk_lstm… 0/1, 0/2      -    0.0%    0.0%  the only layers make the graph's output
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from workbench.domain.errors import WorkbenchError
from workbench.graph.channels import ChannelGroup, blocked_layers, channel_groups, folded_graph
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

Shares = dict[str, float]


def main(shared: Path) -> None:
    """Print the table."""
    print(f"{'model':30} {'groups':>9} {'conv':>7} {'all':>7} {'outputs':>8} {'s':>6}  what blocks output channels")
    for path in sorted((shared / "data").glob("*/*.onnx")):
        try:
            graph = open_model(path)
            began = time.process_time()
            groups = channel_groups(graph)
            seconds = time.process_time() - began
        except WorkbenchError as error:
            print(f"{path.name:30} {'-':>9} {'-':>7} {'-':>7} {'-':>8} {'-':>6}  {str(error).partition(': ')[2][:90]}")
            continue
        print(_line(path.name, graph, groups, seconds))


def _line(name: str, graph: ModelGraph, groups: tuple[ChannelGroup, ...], seconds: float) -> str:
    blocked = blocked_layers(graph)
    # Layers by node of the folded graph, whose weights the members of groups name.
    folded = folded_graph(graph)
    layers = {node.name: (node.op, weight.name, weight.shape) for node, weight in layer_nodes(folded)}
    sizes = {name: int(np.prod(shape)) for name, (_, _, shape) in layers.items()}
    removable = _removable(groups)
    gone = {layer: sizes[layer] * _share(removable[weight], shape) for layer, (_, weight, shape) in layers.items()}
    convolutions = [layer for layer, (op, _, _) in layers.items() if op.startswith("Conv")]
    reasons: Counter[str] = Counter()
    for layer, reason in blocked.items():
        reasons[reason] += sizes.get(layer, 0)
    total = sum(sizes.values())
    text = "; ".join(f"{size / total:.1%} {reason[:90]}" for reason, size in reasons.most_common(3) if size)
    cells = (
        _percent(sum(gone[layer] for layer in convolutions), sum(sizes[layer] for layer in convolutions)),
        _percent(sum(gone.values()), total),
        _percent(sum(size for layer, size in sizes.items() if layer not in blocked), total),
    )
    prunable = f"{sum(group.prunable for group in groups)}/{len(groups)}"
    return f"{name:30} {prunable:>9} {cells[0]:>7} {cells[1]:>7} {cells[2]:>8} {seconds:6.3f}  {text}"


def _removable(groups: tuple[ChannelGroup, ...]) -> dict[str, dict[int, set[int]]]:
    """Return by weight and axis the positions that can be removed."""
    found: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for group in groups:
        for member in group.members if group.prunable else ():
            for unit, positions in enumerate(member.positions):
                if unit not in group.locked:
                    found[member.weight][member.weight_axis].update(positions)
    return found


def _share(removable: dict[int, set[int]], shape: tuple[int, ...]) -> float:
    return 1 - float(np.prod([1 - len(positions) / shape[axis] for axis, positions in removable.items()] or [1.0]))


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3] / "shared")

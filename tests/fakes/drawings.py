"""Pictures of graphs without the layout's engine: ResNet-20 as it is drawn, and a ladder of any number of nodes."""

from __future__ import annotations

from workbench.domain.reports import Drawing, DrawnEdge, DrawnNode, InspectReport
from workbench.graph.blocks import blocks_of

_STEP = 74.0


def resnet_drawing(report: InspectReport) -> Drawing:
    """Draw a chain of convolutions with ReLUs, and an Add with its shortcut at the end of every block."""
    nodes: list[DrawnNode] = []
    edges: list[DrawnEdge] = []
    middle = 190.0

    def put(id: str, op: str, family: str, *, layer: bool = False, x: float = middle) -> str:
        y = 30 + _STEP * len(nodes)
        width = max(110.0, 8.0 * len(id) + 24)
        nodes.append(
            DrawnNode(id=id, op=op, family=family, x=x, y=y, width=width, height=40, layer=id if layer else None)
        )
        return id

    def join(source: str, target: str, points: tuple[tuple[float, float], ...] = ()) -> None:
        edges.append(DrawnEdge(source=source, target=target, value=f"{source}_out", points=points))

    last = ""
    entered = ""
    for layer in report.layers:
        if layer.op == "Gemm":
            pool = put("global_pool", "GlobalAveragePool", "pooling")
            join(last, pool)
            flat = put("flatten", "Flatten", "shape")
            join(pool, flat)
            join(flat, put(layer.name, "Gemm", "matmul", layer=True))
            continue
        conv = put(layer.name, "Conv", "convolution", layer=True, x=middle - 20)
        if last:
            join(last, conv)
        if layer.name.endswith("conv2"):
            add = put(layer.name.replace("conv2", "add"), "Add", "elementwise")
            join(conv, add)
            start, end = nodes[[node.id for node in nodes].index(entered)].y, nodes[-1].y
            join(entered, add, ((middle + 130, start + 60), (middle + 130, end - 60)))
            conv = add
        relu = put(f"{conv}.relu", "Relu", "activation")
        join(conv, relu)
        last = relu
        if not layer.name.endswith(".conv1") or "." not in layer.name:
            entered = relu
    return Drawing(nodes=tuple(nodes), edges=tuple(edges), width=2 * middle, height=60 + _STEP * len(nodes))


def ladder_drawing(count: int, columns: int = 40) -> Drawing:
    """Draw `count` nodes in rows, each joined to the one below and to its right neighbour below."""
    families = ("convolution", "activation", "elementwise", "normalization")
    nodes = tuple(
        DrawnNode(
            id=f"n{index}",
            op="Conv" if index % 4 == 0 else "Relu",
            family=families[index % 4],
            x=80.0 + 170 * (index % columns),
            y=30.0 + 80 * (index // columns),
            width=130,
            height=40,
        )
        for index in range(count)
    )
    edges = []
    for index in range(count - columns):
        edges.append(DrawnEdge(source=f"n{index}", target=f"n{index + columns}", value=f"v{index}"))
        if index % 5 == 0 and index % columns < columns - 1:
            edges.append(DrawnEdge(source=f"n{index}", target=f"n{index + columns + 1}", value=f"w{index}"))
    return Drawing(nodes=nodes, edges=tuple(edges), width=170.0 * columns, height=80.0 * (count // columns + 1))


def blocked_drawing(report: InspectReport) -> Drawing:
    """Draw ResNet-20 with its stages and residual blocks as blocks, which the dots of its names tell of."""
    drawing = resnet_drawing(report)
    parts = [node.id.removesuffix(".relu").split(".")[:-1] for node in drawing.nodes]
    scopes = [tuple(".".join(part[: index + 1]) for index in range(len(part))) for part in parts]
    found = blocks_of([node.id for node in drawing.nodes], scopes)
    nodes = tuple(node.model_copy(update={"block": found.innermost.get(node.id)}) for node in drawing.nodes)
    return drawing.model_copy(update={"nodes": nodes, "blocks": found.blocks})

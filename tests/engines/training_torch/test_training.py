"""Training improves, repeats bit for bit, keeps the best, stops when asked, and says clearly what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, DataError, JobError, UnsupportedGraphError
from workbench.engines.contracts import Batch, TrainingSettings
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.from_graph import GraphModule
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

HEAD = '<ir_version: 9, opset_import: ["" : 17]>\n'
SETTINGS = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.05, threads=1, precision="float32")


class Pictures:
    """Pictures whose class is the quarter that is brightest; implements TrainingData."""

    def __init__(self, count: int = 192, targets: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        rng = np.random.default_rng(1)
        self.y = rng.integers(0, 4, count)
        self.x = rng.standard_normal((count, 3, 8, 8)).astype(np.float32)
        for index, label in enumerate(self.y):
            row, column = divmod(int(label), 2)
            self.x[index, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1.5
        self.targets = self.y if targets is None else targets(self.y)

    def __len__(self) -> int:
        return len(self.y)

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        order = np.random.default_rng(seed).permutation(len(self.y))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield Batch({"x": self.x[chosen]}, self.targets[chosen])


@pytest.fixture
def engine() -> TorchEngine:
    return TorchEngine(threads=1)


@pytest.fixture
def network(graph_from) -> ModelGraph:
    rng = np.random.default_rng(0)
    return graph_from(
        HEAD
        + """net (float[batch,3,8,8] x) => (float[batch,4] y) {
            c = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w1)
            n = BatchNormalization (c, scale, shift, mean, variance)
            r = Relu (n)
            f = Flatten (r)
            y = Gemm <transB = 1> (f, w2, b2)
        }""",
        {
            "w1": (rng.standard_normal((8, 3, 3, 3)) * 0.2).astype(np.float32),
            "scale": np.ones(8, np.float32),
            "shift": np.zeros(8, np.float32),
            "mean": np.zeros(8, np.float32),
            "variance": np.ones(8, np.float32),
            "w2": (rng.standard_normal((4, 128)) * 0.05).astype(np.float32),
            "b2": np.zeros(4, np.float32),
        },
    )


def accuracy(engine: TorchEngine, graph: ModelGraph, data: Pictures) -> float:
    outputs = engine.run(graph, {"x": data.x}, [graph.outputs[0].name])[graph.outputs[0].name]
    return float((outputs.argmax(1) == data.y).mean())


def test_it_learns_and_reports(engine, network):
    data, lines, told = Pictures(), [], []
    result = engine.fit(
        network,
        data,
        SETTINGS,
        validate=lambda graph: accuracy(engine, graph, data),
        progress=Progress(lambda fraction, text: told.append((fraction, text))),
        log=lines.append,
    )
    assert accuracy(engine, network, data) < 0.5
    assert accuracy(engine, result.graph, data) > 0.9
    assert [record.epoch for record in result.history] == [1, 2]
    assert result.history[1].loss < result.history[0].loss
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2: loss")
    assert told[-1][0] == pytest.approx(1.0)
    assert told[0][1].startswith("epoch 1/2, loss")
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert result.notes == ("trained in float32 on 1 threads",) or torch.cuda.is_available()


def test_statistics_are_trained_or_frozen(engine, network):
    trained = engine.fit(network, Pictures(), SETTINGS).graph
    frozen = engine.fit(network, Pictures(), replace(SETTINGS, batch_norm="frozen")).graph
    for name in ("mean", "variance"):
        assert not np.array_equal(trained.constant(name), network.constant(name))
        np.testing.assert_array_equal(frozen.constant(name), network.constant(name))
    assert not np.array_equal(frozen.constant("scale"), network.constant("scale"))


def test_the_same_arguments_give_the_same_bytes(engine, network):
    settings = replace(SETTINGS, precision="auto")
    first = engine.fit(network, Pictures(), settings, teacher=network).graph.to_bytes()
    torch.rand(7)  # what happened before in the process does not matter
    second = TorchEngine().fit(network, Pictures(), settings, teacher=network).graph.to_bytes()
    other = engine.fit(network, Pictures(), replace(settings, seed=1), teacher=network).graph.to_bytes()
    assert first == second
    assert first != other


def test_the_process_is_left_as_it_was(engine, network):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    engine.fit(network, Pictures(64), replace(SETTINGS, epochs=1))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_teacher_is_imitated(engine, network):
    data = Pictures()
    teacher = engine.fit(network, data, SETTINGS).graph
    blind = Pictures(targets=np.zeros_like)  # every label says class 0
    settings = replace(SETTINGS, distillation_weight=1.0)
    student = engine.fit(network, blind, settings, teacher=teacher).graph
    assert accuracy(engine, student, data) > 0.85
    without = engine.fit(network, blind, replace(SETTINGS, distillation_weight=0.0), teacher=teacher).graph
    assert accuracy(engine, without, data) < 0.5


def test_the_best_epoch_is_kept(engine, network):
    seen, scores = [], iter([0.2, 0.9, float("nan"), 0.5])

    def validate(graph: ModelGraph) -> float:
        seen.append(graph.to_bytes())
        return next(scores)

    result = engine.fit(network, Pictures(64), replace(SETTINGS, epochs=4), validate=validate)
    assert result.best_epoch == 2
    assert result.graph.to_bytes() == seen[1]
    assert not result.stopped_early
    last = engine.fit(network, Pictures(64), SETTINGS)
    assert last.best_epoch == 2


def test_no_epochs_change_nothing(engine, network):
    result = engine.fit(network, Pictures(64), replace(SETTINGS, epochs=0))
    assert result.graph.to_bytes() == network.to_bytes()
    assert result.best_epoch is None


def test_a_cancel_keeps_the_best_so_far(engine, network):
    cancel, scores = CancelToken(), iter([0.5, 0.4])

    def stop_in_second_epoch(fraction: float, text: str) -> None:
        if text.startswith("epoch 2/3"):
            cancel.cancel()

    result = engine.fit(
        network,
        Pictures(),
        replace(SETTINGS, epochs=3),
        validate=lambda graph: next(scores),
        progress=Progress(stop_in_second_epoch),
        cancel=cancel,
    )
    assert result.stopped_early
    assert result.best_epoch == 1
    assert len(result.history) == 1
    with pytest.raises(CancelledError):
        engine.fit(network, Pictures(), SETTINGS, cancel=cancel)


def test_a_cancel_during_validation_keeps_the_epoch(engine, network):
    def cancelled(graph: ModelGraph) -> float:
        raise CancelledError

    result = engine.fit(network, Pictures(64), SETTINGS, validate=cancelled)
    assert result.stopped_early
    assert result.best_epoch == 1


def test_divergence_advises_a_lower_rate(engine, network):
    with pytest.raises(JobError, match="lower learning rate, such as") as caught:
        engine.fit(network, Pictures(), replace(SETTINGS, learning_rate=1e30, warmup_epochs=0.0))
    assert "training diverged" in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (lambda y: y + 3, "0 to 3, since the model has 4 classes"),
        (lambda y: y - 2, "label -2 is out of range"),
        (lambda y: y + 0.5, "not whole numbers"),
        (lambda y: np.stack([y, y, y], 1), "expected 4 values a sample"),
        (lambda y: np.stack([y, y], 1)[:, :, None], "don't fit the model's output"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_labels_that_do_not_fit_are_explained(engine, network, targets, message, share):
    if share == 1.0 and "values a sample" in message:
        pytest.skip("label vectors are not read when the teacher alone counts")
    with pytest.raises(DataError) as caught:
        engine.fit(
            network,
            Pictures(64, targets),
            replace(SETTINGS, distillation_weight=share),
            teacher=network if share else None,
        )
    assert message.lower() in str(caught.value).lower()


def test_whole_numbers_in_float_and_label_vectors_are_labels(engine, network):
    for targets in (lambda y: y.astype(np.float32), lambda y: np.eye(4)[y]):
        data = Pictures(targets=targets)
        assert accuracy(engine, engine.fit(network, data, SETTINGS).graph, data) > 0.85


def test_a_closing_softmax_is_trained_before_it(engine, network, graph_from):
    arrays = {name: network.constant(name) for name in network.initializers}
    closed = graph_from(
        HEAD
        + """net (float[batch,3,8,8] x) => (float[batch,4] p) {
            c = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w1)
            n = BatchNormalization (c, scale, shift, mean, variance)
            r = Relu (n)
            f = Flatten (r)
            y = Gemm <transB = 1> (f, w2, b2)
            s = Softmax (y)
            p = Identity (s)
        }""",
        arrays,
    )
    open_ended = engine.fit(network, Pictures(), SETTINGS).graph
    trained = engine.fit(closed, Pictures(), SETTINGS).graph
    for name in arrays:
        np.testing.assert_array_equal(trained.constant(name), open_ended.constant(name))


def test_biases_and_normalization_do_not_decay(engine, network):
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-9, weight_decay=1.0, momentum=0.0)
    strong = replace(settings, weight_decay=1e8)
    mild, wild = engine.fit(network, Pictures(64), settings).graph, engine.fit(network, Pictures(64), strong).graph
    np.testing.assert_allclose(wild.constant("scale"), mild.constant("scale"), atol=1e-6)
    assert np.abs(wild.constant("w2")).mean() < 0.95 * np.abs(mild.constant("w2")).mean()


def test_a_quantized_student_learns_through_the_rounding(engine, graph_from):
    rng = np.random.default_rng(0)
    student = graph_from(
        HEAD
        + """net (float[batch,3,8,8] x) => (float[batch,4] y) {
            f = Flatten (x)
            qx = QuantizeLinear (f, sx, zx)
            dx = DequantizeLinear (qx, sx, zx)
            qw = QuantizeLinear <axis = 0> (w, sw, zw)
            dw = DequantizeLinear <axis = 0> (qw, sw, zw)
            y = Gemm <transB = 1> (dx, dw, b)
        }""",
        {
            "w": (rng.standard_normal((4, 192)) * 0.05).astype(np.float32),
            "b": np.zeros(4, np.float32),
            "sx": np.array(0.03, np.float32),
            "zx": np.array(100, np.uint8),
            "sw": np.full(4, 0.002, np.float32),
            "zw": np.zeros(4, np.int8),
        },
    )
    data = Pictures()
    trained = engine.fit(student, data, SETTINGS).graph
    assert accuracy(engine, student, data) < 0.6
    assert accuracy(engine, trained, data) > 0.9
    np.testing.assert_array_equal(trained.constant("sw"), student.constant("sw"))


def test_half_precision_stays_half(engine, graph_from):
    rng = np.random.default_rng(0)
    half = graph_from(
        HEAD
        + """net (float16[batch,3,8,8] x) => (float16[batch,4] y) {
            f = Flatten (x)
            y = Gemm <transB = 1> (f, w, b)
        }""",
        {"w": (rng.standard_normal((4, 192)) * 0.05).astype(np.float16), "b": np.zeros(4, np.float16)},
    )
    data = Pictures()
    trained = engine.fit(half, data, SETTINGS).graph
    assert trained.constant("w").dtype == np.float16
    assert accuracy(engine, trained, data) > 0.9


@pytest.mark.parametrize("task", ["regression", "outputs"])
def test_numbers_are_learnt_too(engine, graph_from, task):
    rng = np.random.default_rng(0)
    arrays = {"w": (rng.standard_normal((2, 192)) * 0.05).astype(np.float32), "b": np.zeros(2, np.float32)}
    text = HEAD + "net (float[batch,3,8,8] x) => (float[batch,2] y) { f = Flatten (x) y = Gemm <transB = 1> (f, w, b) }"
    teacher, student = graph_from(text, arrays), graph_from(text, {name: array * 0 for name, array in arrays.items()})
    data = Pictures()
    data.targets = engine.run(teacher, {"x": data.x})["y"]
    settings = replace(
        SETTINGS, epochs=10, task=task, learning_rate=0.01 if task == "outputs" else 0.02, weight_decay=0.0
    )
    trained = engine.fit(student, data, settings, teacher=teacher if task == "outputs" else None).graph
    error = np.square(engine.run(trained, {"x": data.x})["y"] - data.targets).mean() / data.targets.var()
    assert error < 0.1


def test_segmentation_finds_the_class_axis(engine, graph_from):
    rng = np.random.default_rng(0)
    arrays = {"w": (rng.standard_normal((2, 3, 1, 1)) * 0.1).astype(np.float32), "b": np.zeros(2, np.float32)}
    first = graph_from(HEAD + "net (float[n,3,8,8] x) => (float[n,2,8,8] y) { y = Conv (x, w, b) }", arrays)
    last = graph_from(
        HEAD
        + "net (float[n,3,8,8] x) => (float[n,8,8,2] y) { c = Conv (x, w, b) y = Transpose <perm = [0,2,3,1]> (c) }",
        arrays,
    )
    data = Pictures()
    data.targets = (data.x.mean(1) > 0.5).astype(np.int64)
    data.targets[:, 0, 0] = 255  # not counted
    settings = replace(SETTINGS, task="segmentation", learning_rate=0.5)
    trained = [engine.fit(graph, data, settings).graph for graph in (first, last)]
    np.testing.assert_allclose(trained[0].constant("w"), trained[1].constant("w"), atol=1e-4)
    predicted = engine.run(trained[0], {"x": data.x})["y"].argmax(1)
    assert (predicted == data.targets)[data.targets != 255].mean() > 0.9


def test_language_models_learn_the_next_token(engine, graph_from):
    rng = np.random.default_rng(0)
    model = graph_from(
        HEAD + "net (int64[n,t] x) => (float[n,t,8] y) { e = Gather (table, x) y = MatMul (e, w) }",
        {
            "table": rng.standard_normal((8, 16)).astype(np.float32),
            "w": (rng.standard_normal((16, 8)) * 0.1).astype(np.float32),
        },
    )
    data = Pictures(64)
    data.x = rng.integers(0, 8, (64, 12))
    data.targets = (data.x + 3) % 8
    data.targets[:, 0] = -100  # not counted
    settings = replace(SETTINGS, task="language", epochs=10, learning_rate=0.5)
    trained = engine.fit(model, data, settings).graph
    predicted = engine.run(trained, {"x": data.x})["y"].argmax(-1)
    assert (predicted == data.targets)[:, 1:].mean() > 0.95


def test_a_missing_operator_is_named_before_training(engine, graph_from):
    graph = graph_from(HEAD + "net (float[n,4] x) => (float[n,4] y) { y = Mystery (x) }", {})
    assert engine.unsupported(graph) == (f"Mystery ({graph.nodes[0].name})",)
    with pytest.raises(UnsupportedGraphError, match="Mystery"):
        engine.fit(graph, Pictures(), SETTINGS)


def test_nothing_to_train_towards(engine, network, graph_from):
    data = Pictures(64)
    unlabelled = type(
        "Unlabelled",
        (),
        {
            "__len__": lambda self: 64,
            "shuffled": lambda self, size, seed: (Batch(b.inputs, None) for b in data.shuffled(size, seed)),
        },
    )()
    with pytest.raises(DataError, match="nothing to train towards"):
        engine.fit(network, unlabelled, SETTINGS)
    assert engine.fit(network, unlabelled, SETTINGS, teacher=network).best_epoch == 2
    plain = graph_from(HEAD + "net (float[n,3,8,8] x) => (float[n,192] y) { y = Flatten (x) }", {})
    with pytest.raises(JobError, match="no weight that could be trained"):
        engine.fit(plain, data, SETTINGS)


def test_student_and_teacher_of_different_outputs(engine, network, small_cnn):
    with pytest.raises(DataError, match="different shape"):
        engine.fit(network, Pictures(64), SETTINGS, teacher=small_cnn)


def test_half_precision_products_learn_as_well(engine, network):
    data = Pictures()
    result = engine.fit(network, data, replace(SETTINGS, precision="bfloat16"), teacher=network)
    assert accuracy(engine, engine.fit(network, data, replace(SETTINGS, precision="bfloat16")).graph, data) > 0.9
    assert result.graph.constant("w1").dtype == np.float32
    assert result.notes[0].startswith("trained in bfloat16")


def test_every_shared_network_has_gradients_in_both_precisions(shared):
    for stem in ("resnet20_cifar10_bn", "resnet20_cifar10_folded"):
        graph = open_model(shared / "data" / "models" / f"{stem}.onnx")
        module = GraphModule(graph)
        fed = module.feed({graph.inputs[0].name: np.ones((2, 3, 32, 32), np.float32)})
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                output = module(fed)[graph.outputs[0].name]
            output.float().square().sum().backward()
            assert all(weight.grad is not None for weight in module.weights.values())
            module.zero_grad(set_to_none=True)


class Recorder:
    """A hook that keeps one weight's first row at zero and counts what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.count = 0

    def begin(self, weights, epochs, steps_per_epoch) -> None:
        self.weight = weights["w1"]
        self.calls.append(f"begin {epochs} {steps_per_epoch}")

    def after_backward(self, step) -> None:
        assert self.weight.grad is not None
        self.count += 1

    def after_step(self, step) -> None:
        self.weight[0] = 0

    def after_epoch(self, epoch) -> None:
        self.calls.append(f"epoch {epoch}")

    def state(self):
        return {"count": self.count}

    def restore(self, state) -> None:
        self.count = state["count"]


def test_a_hook_takes_part_in_every_step(engine, network):
    hook = Recorder()
    result = engine.fit(network, Pictures(), SETTINGS, hook=hook)
    assert hook.calls == ["begin 2 6", "epoch 0", "epoch 1"]
    assert hook.count == 12
    assert not result.graph.constant("w1")[0].any()
    assert result.graph.constant("w1")[1].any()


class PowerCutError(Exception):
    """Ends a training as a crash would."""


@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged"])
def test_a_training_that_was_cut_off_goes_on_and_ends_the_same(engine, network, tmp_path, damage):
    settings, data = replace(SETTINGS, epochs=4), Pictures()
    scores = [0.3, 0.8, 0.5, 0.6]
    whole, hook = iter(scores), Recorder()
    expected = engine.fit(network, data, settings, teacher=network, validate=lambda graph: next(whole), hook=hook)

    file, seen = tmp_path / "steps" / "training.epochs", iter(scores)

    def cut(graph: ModelGraph) -> float:
        score = next(seen)
        if score == 0.6:
            raise PowerCutError
        return score

    with pytest.raises(PowerCutError):
        engine.fit(network, data, settings, teacher=network, validate=cut, hook=Recorder(), checkpoint=file)
    if damage:
        file.write_bytes(file.read_bytes()[:-700])
    rest, later = iter(scores if damage else scores[3:]), Recorder()
    result = TorchEngine(1).fit(
        network, data, settings, teacher=network, validate=lambda graph: next(rest), hook=later, checkpoint=file
    )
    assert result.graph.to_bytes() == expected.graph.to_bytes()
    assert result.best_epoch == 2
    assert [entry.score for entry in result.history] == scores
    assert later.count == hook.count
    assert any("went on after epoch 3" in note for note in result.notes) is not damage


def test_a_checkpoint_of_another_training_is_not_used(engine, network, tmp_path):
    file = tmp_path / "training.epochs"
    engine.fit(network, Pictures(), SETTINGS, checkpoint=file)
    longer = replace(SETTINGS, epochs=3)
    result = engine.fit(network, Pictures(), longer, checkpoint=file)
    assert result.graph.to_bytes() == engine.fit(network, Pictures(), longer).graph.to_bytes()


def test_a_place_that_cannot_be_written_costs_no_training(engine, network, tmp_path):
    (tmp_path / "file").write_text("")
    lines: list[str] = []
    result = engine.fit(network, Pictures(), SETTINGS, log=lines.append, checkpoint=tmp_path / "file" / "t.epochs")
    assert len(result.history) == 2
    assert sum("can't be stored" in line for line in lines) == 1

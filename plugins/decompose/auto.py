"""One step for a whole network: each layer by the decomposition that suits its kind, on one set of samples."""

from __future__ import annotations

from pydantic import BaseModel

from workbench.api import RowMoments

from .asvd import ActivationAwareSvd
from .calibrated import Calibrated
from .channel_svd import ChannelSvd
from .factorization import Split, Subject


class LowRank(Calibrated):
    """Splits matrices as decompose.asvd and convolutions as decompose.channel_svd do."""

    id = "decompose.auto"
    title = "Low-rank decomposition"
    summary = (
        "Splits linear layers and convolutions into smaller ones that keep what they compute on calibration samples."
    )
    source = "Zhang et al., 2016; Chen et al., 2021 (DRONE)"
    operators = ("Conv", "Gemm", "MatMul")

    def __init__(self, parameters: BaseModel) -> None:
        super().__init__(parameters)
        self._matrices, self._convolutions = ActivationAwareSvd(parameters), ChannelSvd(parameters)

    def wanted(self, subject: Subject) -> tuple[str, int, int]:
        """Return what the layer's own method wants."""
        return self._of(subject).wanted(subject)

    def split_by(self, subject: Subject, moments: RowMoments) -> Split:
        """Return the factors of the layer's own method."""
        return self._of(subject).split_by(subject, moments)

    def _of(self, subject: Subject) -> Calibrated:
        return self._convolutions if subject.node.op == "Conv" else self._matrices

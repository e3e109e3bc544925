"""Squared distances from products in low precision, with a bound that is a theorem.

Each sample x is centred, scaled by a power of two and rounded to the format: h. The product of
two tiles, with columns for the norms beside h, gives every pair half the squared distance of
the rounded points, less a slack per sample that covers all that rounding can have done:

    product(x, y) <= (1 + δ) |x - y|² / 2 <= (1 + δ)² (product(x, y) + 2 slack(x) + 2 slack(y))

up to one rounding of the product to the format. So a product proves a pair to be far, and a sum
proves it to be near. It chooses no neighbours: see `scanning.py`.

Derivation. With e = x - h and any δ > 0, the triangle inequality and 2ab <= δa² + b²/δ give

    |h_x - h_y|² <= (1 + δ) |x - y|² + 2 (1 + 1/δ) (|e_x|² + |e_y|²),

and the same with h and x exchanged. A sum of products accumulated in any order with unit
roundoff u is off by at most γ = (1 + u)ⁿ - 1 times the sum of the magnitudes (Higham, "Accuracy
and Stability of Numerical Algorithms", section 3.1), here at most |h_x|² + |h_y|² and a little.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

FAR = 2.0**100
"""Half the squared distance of rows that only fill a tile up; scaled ones stay far below it."""

_ALIGNED = 32  # columns; products of other widths take up to ten times as long

FormatName = Literal["bfloat16", "float32", "float64"]

_PARTS = 3  # columns that hold a norm: three bfloat16 have the digits of a float32


@dataclass(frozen=True)
class Format:
    """A number format for proposals.

    Attributes:
        dtype: Of the rounded samples and of their products.
        bits: Its integers of the same size, which order as the non-negative numbers do.
        unused: Trailing bits of a sample that are kept zero, where a device may cut them off
            unasked: float32 products on a GPU may be of 11 digits (TF32).
    """

    dtype: torch.dtype
    bits: torch.dtype
    unused: int = 0

    @property
    def delta(self) -> float:
        """The δ of the bounds: twice the unit roundoff, where the slack is about its smallest."""
        return torch.finfo(self.dtype).eps * 2.0**self.unused

    @property
    def output_roundoff(self) -> float:
        """Unit roundoff of a product as it is given out."""
        return torch.finfo(self.dtype).eps / 2

    @property
    def accumulator(self) -> torch.finfo:
        """The numbers in which products are summed."""
        return torch.finfo(torch.promote_types(self.dtype, torch.float32))

    def round(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Round to the format."""
        rounded = values.to(self.dtype)
        if self.unused:
            bits = rounded.view(self.bits) + (1 << (self.unused - 1))
            rounded = ((bits >> self.unused) << self.unused).view(self.dtype)
        return rounded


def choose_format(device: torch.device) -> FormatName:
    """Return the fastest format that the hardware multiplies by itself."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and cpu_multiplies_bfloat16()
    return "bfloat16" if native else "float32"


def make_format(name: FormatName, device: torch.device) -> Format:
    """Return the format of that name, as the device has it."""
    if name == "bfloat16":
        return Format(torch.bfloat16, torch.int16)
    if name == "float32":
        return Format(torch.float32, torch.int32, unused=13 if device.type == "cuda" else 0)
    return Format(torch.float64, torch.int64)


def cpu_multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 by itself; else it takes 40 times longer."""
    try:
        return bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage]
    except AttributeError:  # it is private: without it, float32 is right everywhere
        return False


def _cpu_may_round() -> bool:
    """Tell whether torch's settings let it round float32 factors; numpy, if slower, has none."""
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # it was set by the newer names, and cannot be told by the older one
        return True


@contextmanager
def own_settings(device: torch.device) -> Generator[None, None, None]:
    """Keep autocast from casting factors, and CUDA from adding partial sums in bfloat16."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before


@dataclass(frozen=True)
class Tile:
    """Some samples, ready to be multiplied.

    Attributes:
        codes: A row per sample: rounded values, the norm in parts, ones, zeros to be aligned.
        slack: For each, half of what the products with it may be too small by; see above.
    """

    codes: Float[Tensor, "rows columns"]
    slack: Float[Tensor, " rows"]


@dataclass(frozen=True)
class Encoder:
    """Turns samples into tiles of a format, all by the same shift and scale.

    Attributes:
        format: The number format.
        center: What is subtracted from each sample after scaling. Any vector is right; the
            nearer to the samples, the smaller the slack.
        scale: The power of two by which each sample is multiplied, so that no value exceeds 1.
    """

    format: Format
    center: Float[Tensor, " width"]
    scale: float

    def encode(self, samples: Float[Tensor, "samples width"], num_rows: int) -> Tile:
        """Round samples, with their norms and slacks; fill up with far rows to `num_rows`."""
        count, width = samples.shape
        columns = -(-(width + 2 * _PARTS) // _ALIGNED) * _ALIGNED
        codes = samples.new_zeros((num_rows, columns), dtype=self.format.dtype)
        shifted = torch.add(-self.center, samples, alpha=self.scale)
        codes[:count, :width] = rounded = self.format.round(shifted)
        rounded = rounded.to(shifted.dtype)

        unit = torch.finfo(shifted.dtype).eps / 2
        square = torch.linalg.vector_norm(rounded, dim=1).double().square()
        size = torch.linalg.vector_norm(shifted, dim=1).double()
        error = torch.linalg.vector_norm(shifted.sub_(rounded), dim=1).double()
        error = (error + unit * size) * (1 + 2 * width * unit)
        sums, delta = self.format.accumulator, self.format.delta
        # Tensor cores cut off what they align (Fasi, Higham, Mikaitis, Pranesh 2021), where a
        # processor rounds. That each addition loses no more than eps is an assumption there.
        roundoff = sums.eps / 2 if codes.device.type == "cpu" else sums.eps
        # No sum has more than width + 32 terms. Of 1.6, 1 is for the product, 0.5 for the norm's
        # own error, and 0.1 to spare.
        gamma = 1.6 * math.expm1((width + 32) * roundoff)
        vanished = (width + 32) * 16 * sums.tiny / delta  # squares too small for the format
        slack = (1 + 1 / delta) * error.square() + gamma * square + vanished
        self._write_norms(codes, square / 2 - slack)
        return Tile(codes, torch.nn.functional.pad(slack, (0, num_rows - count)))

    def _write_norms(
        self, codes: Float[Tensor, "rows columns"], norms: Float[Tensor, " samples"]
    ) -> None:
        width = len(self.center)
        codes[:, width] = FAR
        for column in range(width, width + _PARTS):
            codes[: len(norms), column] = part = self.format.round(norms)
            norms = norms - part
        codes[:, width + _PARTS : width + 2 * _PARTS] = 1

    def left_factor(self, codes: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Return the rows as the left factor: values negative, norms where the others have ones."""
        ones = len(self.center) + _PARTS
        left = -codes
        left[:, ones - _PARTS : ones] = 1
        left[:, ones : ones + _PARTS] = codes[:, ones - _PARTS : ones]
        return left

    def multiply(
        self,
        left: Float[Tensor, "rows columns"],
        right: Float[Tensor, "others columns"],
        out: Float[Tensor, "rows others"],
    ) -> None:
        """Multiply a left factor by the transpose of another tile's codes."""
        if self.format.dtype == torch.float32 and out.device.type == "cpu" and _cpu_may_round():
            np.matmul(left.numpy(), right.numpy().T, out=out.numpy())
        else:
            torch.mm(left, right.T, out=out)

    @staticmethod
    def bounds(
        products: Float[Tensor, "*pairs"], slack: Float[Tensor, "*pairs"]
    ) -> Float[Tensor, "*pairs"]:
        """Return the sums product + 2 slack + 2 slack, in float64.

        A product below 0 counts as 0: its rounding is a share of it, and not of the sum.

        Args:
            products: As they were given out.
            slack: Of both samples together.
        """
        return products.double().clamp(min=0) + 2 * slack

    def limits(self, upper: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """Return, as bits, the largest products that pairs no farther than bounded may have.

        Args:
            upper: Of pairs whose distances are the bound, what `bounds` returns.
        """
        width = len(self.center)
        # Distances in float64 are rounded too; what they may confuse must be compared by them.
        margin = (1 + self.format.delta) ** 2 * (1 + (width + 64) * 2.0**-51)
        margin *= (1 + self.format.output_roundoff) / (1 - self.format.output_roundoff)
        limits = (upper.double() * margin).clamp(0, FAR / 4)
        if self.format.dtype == torch.float64:
            return limits.view(torch.int64)
        # Cutting digits off is right: a product in the format is below the limit or the cut one.
        bits = limits.float().view(torch.int32)
        return bits if self.format.dtype == torch.float32 else (bits >> 16).to(torch.int16)

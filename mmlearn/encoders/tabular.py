"""Encoders of tables: a row of numbers and category numbers in, features out."""

import math
from collections.abc import Sequence

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="mmlearn")
class Columns(layers.Layer):
    """Normalise the numeric columns of a row, and embed its category numbers.

    h = [(x − mean) / √variance; E_1[c_1]; …; E_K[c_K]]

    A number outside 0..n−1, a fraction or NaN is the unknown category: row n of the
    table E_k. It learns only from unknown values seen while training. A column of
    variance 0 is centred only. Give the layer `dtype="float32"`: half precision knows
    neither large numbers nor many categories.

    Args:
        numeric: Number of numeric columns, which come first.
        categories: Number of categories n of each further column.
        category_dim: Length of the vector of a category.
        mean: Mean of each numeric column; `None` means 0.
        variance: Variance of each numeric column; `None` means 1.

    Call arguments:
        rows: Floats of shape (B, numeric + len(categories)).

    Returns:
        Features of shape (B, numeric + len(categories) · category_dim).
    """

    def __init__(
        self,
        numeric: int,
        categories: Sequence[int] = (),
        *,
        category_dim: int = 8,
        mean: Sequence[float] | None = None,
        variance: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.numeric, self.category_dim = numeric, category_dim
        self.categories = [int(n) for n in categories]
        # Plain numbers, so that they are saved with the layer's settings.
        self.mean = [0.0] * numeric if mean is None else [float(m) for m in mean]
        self.variance = (
            [1.0] * numeric if variance is None else [float(v) for v in variance]
        )
        if numeric < 0 or min(self.categories, default=1) < 1 or not self.columns:
            raise ValueError(
                f"{self.name}: numeric is {numeric} and categories is "
                f"{tuple(categories)}, expected one column or more, each category "
                "column with 1 or more"
            )
        for label, values in (("mean", self.mean), ("variance", self.variance)):
            if len(values) != numeric or not all(map(math.isfinite, values)):
                raise ValueError(
                    f"{self.name}: {label} is {values}, expected {numeric} finite "
                    "values, one per numeric column"
                )
        if min(self.variance, default=0) < 0:
            raise ValueError(
                f"{self.name}: variance is {self.variance}, expected 0 or more"
            )

    @property
    def columns(self) -> int:
        return self.numeric + len(self.categories)

    def build(self, input_shape):
        self.tables = [
            self.add_weight(
                name=f"table_{k}",
                shape=(n + 1, self.category_dim),
                initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            )
            for k, n in enumerate(self.categories)
        ]

    def call(self, rows):
        parts = []
        if self.numeric:
            scale = [1 / math.sqrt(v) if v > 0 else 1.0 for v in self.variance]
            centred = rows[:, : self.numeric] - ops.cast(self.mean, rows.dtype)
            parts.append(centred * ops.cast(scale, rows.dtype))
        for k, (n, table) in enumerate(zip(self.categories, self.tables, strict=True)):
            number = rows[:, self.numeric + k]
            # Every comparison with NaN is false: it is unknown, too.
            known = (number >= 0) & (number < n) & (ops.floor(number) == number)
            number = ops.where(known, number, ops.full_like(number, n))
            parts.append(ops.take(table, ops.cast(number, "int32"), axis=0))
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape):
        width = self.numeric + len(self.categories) * self.category_dim
        return (input_shape[0], width)

    def get_config(self):
        return {
            **super().get_config(),
            "numeric": self.numeric,
            "categories": self.categories,
            "category_dim": self.category_dim,
            "mean": self.mean,
            "variance": self.variance,
        }


def mlp(
    numeric: int,
    categories: Sequence[int] = (),
    *,
    hidden: Sequence[int] = (64,),
    embed_dim: int = 64,
    category_dim: int = 8,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
    dropout: float = 0.3,
    name: str = "tabular",
) -> keras.Model:
    """Return dense layers over normalised numbers and embedded categories.

    The last columns of a row are category numbers 0..n−1; any other value there is the
    unknown category (see `Columns`). NaN among the numbers is not allowed: fill it in,
    and add a column that says so.

    Args:
        numeric: Number of numeric columns, which come first.
        categories: Number of categories n of each further column.
        hidden: Units of each hidden layer; `()` for none.
        embed_dim: Length of the features.
        category_dim: Length of the vector of a category.
        mean: Mean of each numeric column in the training split; `None` means 0.
        variance: Variance of each numeric column there; `None` means 1.
        dropout: Rate of dropout after each layer.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `tabular_columns`, after the modality's name (see `Columns`); `hidden0`,
        `hidden1`, …; `features`

    Returns:
        A model from float32 (B, numeric + len(categories)) to (B, embed_dim).

    Raises:
        ValueError: If there is no column, or `mean` or `variance` does not fit them.

    Example:
        >>> encoder = mlp(numeric=2, categories=(3,), mean=[50, 1.7], variance=[9, 1])
        >>> encoder.output_shape
        (None, 64)
    """
    columns = Columns(
        numeric,
        categories,
        category_dim=category_dim,
        mean=mean,
        variance=variance,
        name=f"{name}_columns",
        dtype="float32",
    )
    inputs = keras.Input((columns.columns,), name=name)
    x = columns(inputs)
    names = [*(f"hidden{i}" for i in range(len(hidden))), "features"]
    for units, layer in zip((*hidden, embed_dim), names, strict=True):
        x = layers.Dense(units, activation="relu", name=layer)(x)
        x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_mlp")

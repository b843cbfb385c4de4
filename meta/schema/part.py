"""What several parts of the answers share."""

from pydantic import BaseModel, ConfigDict


class AnswerPart(BaseModel):
    """A part of the answers. It keeps unknown fields, which a later version may have written."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class ViewName(AnswerPart):
    """A layer and a pooling of an encoder: together with the encoder they name an embedding
    space."""

    layer: int
    """0 is the input embeddings. The encoder's number of layers is the last layer."""
    pooling: str
    """How the vectors of a text's tokens become one vector: `mean`, `cls`, `max`, ..."""


class Interval(AnswerPart):
    """A median with the ends of its 90 % interval."""

    q05: float
    q50: float
    q95: float

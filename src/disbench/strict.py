"""Values from TOML files, checked when they are read."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An unknown field is an error, and no field changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

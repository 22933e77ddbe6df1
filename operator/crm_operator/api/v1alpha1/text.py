"""Texts in a status: what they may hold, and how long they may be."""

from typing import Annotated

from pydantic import StringConstraints

from crm_operator.api.base import shortened

#: Words for people; longer ones are cut.
Text = Annotated[str, *shortened(1024), StringConstraints(max_length=1024)]
Name = Annotated[str, StringConstraints(max_length=63)]
ImageName = Annotated[str, StringConstraints(max_length=512)]
#: A number as text; a float in JSON has more digits than it has meaning.
Number = Annotated[str, StringConstraints(max_length=32)]
RevisionName = Annotated[str, StringConstraints(max_length=32)]

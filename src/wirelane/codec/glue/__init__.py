"""Objects of Python classes through upb, protobuf's C library, by functions generated per class.

Who has a kind of classes (betterproto2's messages, dataclasses) says what there is to know of one as a `Plan`,
and gets from it: `glue_of(plan)`, which encodes and decodes at about the speed of the attribute accesses; and
`files_of(plans)`, the .proto files that others may see. A plan is small:

```python
@dataclass
class Point:
    x: int
    tags: list[str]

plan = Plan(Point, "demo.Point", "demo", (
    Field("x", 1, "int32", "x"),
    Field("tags", 2, "string", "tags", repeated=True),
))
glue = glue_of(plan)
glue.decode(glue.encode(Point(5, ["a"])))
```

A message inside is `Field(..., "message", ..., inside=lambda: plan_of(Inner))`; None for a field that is not set,
`presence=True`; a value that is not what the wire has, `into=` and `out_of=`; a well-known type, `inside=Inside(...)`.
Frozen classes, and those that check what they are given, are made with `making=Making.ARGUMENTS`.

What belongs to a class is kept with the class, in an attribute, and goes when the class goes.
"""

from __future__ import annotations

from wirelane.codec.glue.files import files_of
from wirelane.codec.glue.glue import Glue, closure, glue_of, kept_glue
from wirelane.codec.glue.plan import Choice, Enumeration, Field, Inside, Making, Plan, Unplannable

__all__ = [
    "Choice",
    "Enumeration",
    "Field",
    "Glue",
    "Inside",
    "Making",
    "Plan",
    "Unplannable",
    "closure",
    "files_of",
    "glue_of",
    "kept_glue",
]

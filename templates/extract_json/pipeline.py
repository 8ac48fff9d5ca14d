"""From an invoice e-mail to its data: a model answers with JSON, code checks and tidies it."""

from fapo import Prediction

FIELDS = ("supplier", "invoice_number", "total", "due_date")


def tidy(found):
    """The known fields of a reply as texts; amounts without currency. What is not stated is left out."""
    if not isinstance(found, dict):
        return {}
    values = {field: str(found[field]).strip() for field in FIELDS if found.get(field) is not None}
    if "total" in values:
        values["total"] = values["total"].removesuffix("EUR").strip()
    return values


async def run(inputs, ctx):
    found = await ctx.llm("extract", email=inputs["email"])
    return Prediction(output=await ctx.call("tidy", tidy, found))

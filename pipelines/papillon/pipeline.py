"""Make use of a model that must not see what is private: ask it in general words, then answer with what it said."""

from fapo import Prediction


async def run(inputs, ctx):
    query = inputs["user_query"]
    request = await ctx.llm("craft_redacted_request", user_query=query)
    response = await ctx.llm("call_untrusted", request=request)
    return Prediction(await ctx.llm("respond_to_query", request=request, response=response, user_query=query))

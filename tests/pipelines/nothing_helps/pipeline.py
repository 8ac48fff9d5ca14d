async def run(inputs, ctx):
    gist = await ctx.llm("gist", message=inputs["message"])
    return await ctx.llm("route", message=inputs["message"], gist=gist)

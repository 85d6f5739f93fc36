"""A world watched live in a browser: the token graph, prices, health, liquidations, and shocks.

`live_run` holds the run, `reading` what is read of it after each step, the modules named after what
they show make charts of readings, `app` puts them into Mesa's frame, `server` serves the page. Only
`app`, `controls` and `server` need the libraries of the extra `dashboard`.
"""

"""An ECharts chart as a widget: solara's own draws every option it is sent, however late."""

from __future__ import annotations

from typing import Any

import ipyvuetify
import traitlets


class Chart(ipyvuetify.VuetifyTemplate):
    """A chart of one ECharts option; the browser draws the newest and passes over the others."""

    template_file = (__file__, "chart.vue")

    option: Any = traitlets.Any({}).tag(sync=True)

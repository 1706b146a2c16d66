"""The demo's app with the learners that cost least: an app file, for roles in processes of their
own."""

from __future__ import annotations

from dataclasses import replace

import freshet as fr
from freshet.demo.flights import app as demo

light = replace(demo.app.models[0], learners=[fr.Baseline(), fr.HashedLogistic()])
app = replace(demo.app, models=[light])

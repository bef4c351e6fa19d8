"""The control plane on a bot: `with controlled(bot, plan, say): bot.run()`. Does nothing where none is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.bot.loop import Bot
from engine.bot.protocol import Message
from engine.control.script import read_script
from engine.control.settings import find_token, is_served, load_settings
from engine.soak import RunPlan


@contextmanager
def controlled(bot: Bot, plan: RunPlan, say: Callable[[Message], None]) -> Iterator[None]:
    """Serve the control plane while the block runs, if settings or environment want it.

    A script in the run's folder is followed, and what a resumed journal says is in force stays so, served or not.

    Raises:
        ConfigError: config/control.json, the token or the script is not what it must be.
        StorageError: the run's folder cannot be written, or the port is taken.
    """
    settings = load_settings(plan.paths.config)
    served = not plan.again and is_served(settings, str(bot.run_start["mode"]))
    script = read_script(plan.folder)
    if not (served or script or (bot.tail and bot.tail.controls)):
        yield
        return

    from engine.control.desk import Desk  # the gate behind it loads scipy
    from engine.profile import load_profile
    from engine.tuning.bands import load_gates

    profile = load_profile(plan.paths.config, plan.profile)
    desk = Desk(bot, plan, profile, settings, load_gates(plan.paths.config), script)
    bot.desk = desk
    if not served:
        yield
        return

    from engine.control.app import make_app
    from engine.control.guard import App
    from engine.control.server import ControlServer

    desk.pace = settings.replay_pace if bot.run_start["mode"] == "replay" else 0.0
    token = find_token(settings, plan.paths.config, plan.folder)

    def app_for(port: int) -> App:
        return make_app(desk.board, plan, settings, token, port)

    with ControlServer(settings, token, plan.folder, app_for) as url:
        say({"event": "control", "url": url, "token_file": str(token.file) if token.file else None})
        try:
            yield
        finally:
            desk.board.close()

"""What tests ask of the server itself, by POST requests of their own."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from mooring.backend.backend import Backend
from mooring.development.stage import EVERY, Failing
from mooring.development.world import World
from mooring.model.errors import InvalidInputException
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.entry import administers
from mooring.service.own.own_request import FLAG, NUMBER, TEXT, Answer, OwnRequest, acts, member

MOST_SECONDS = 10 * 366 * 24 * 3600
MOST_TIMES = 1_000_000

PERCENT = 40
"""At how many per cent snapshots are held that nobody says it for."""

REASON = "A test has asked for this failure."


def requests(world: World, begin_again: Callable[[], None]) -> dict[str, OwnRequest]:
    """The requests by name, with what answers them; `begin_again` ends the world."""

    def reset(params: Params) -> Answer:
        del params
        begin_again()
        return {}

    def hold(params: Params) -> Answer:
        percent = _number(params, "percent", PERCENT, 0, 99)
        world.stage.hold(_resource(params), percent)
        return {"percent": percent}

    def release(params: Params) -> Answer:
        world.stage.release(_resource(params))
        return {}

    def fail(params: Params) -> Answer:
        reason = params.get("reason") or REASON
        times = _number(params, "times", 1, 1, MOST_TIMES)
        world.stage.fail(_resource(params), Failing(reason, times))
        return {"reason": reason, "times": times}

    def advance(params: Params) -> Answer:
        seconds, to_automatic = params.get("seconds"), params.get("toNextAutomaticSnapshot")
        if (seconds is not None) == bool(to_automatic):
            raise InvalidInputException(
                "advance takes either seconds or toNextAutomaticSnapshot: true."
            )
        if to_automatic:
            world.advance_to_automatic()
        else:
            world.advance(_number(params, "seconds", 0, 0, MOST_SECONDS))
        return {"now": world.now_ms() / 1000}

    def lose(params: Params) -> Answer:
        operation = member(params, "operation")
        if operation not in world.operations:
            near = get_close_matches(operation, world.operations, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InvalidInputException(f"There is no operation {operation[:100]}.{hint}")
        times = _number(params, "times", 1, 1, MOST_TIMES)
        world.stage.lose(operation, times)
        return {"times": times}

    return {
        "reset": _acts(reset),
        "hold": _acts(hold, resourceName=TEXT, percent=NUMBER),
        "release": _acts(release, resourceName=TEXT),
        "fail": _acts(fail, resourceName=TEXT, reason=TEXT, times=NUMBER),
        "advance": _acts(advance, seconds=NUMBER, toNextAutomaticSnapshot=FLAG),
        "lose": _acts(lose, operation=TEXT, times=NUMBER),
    }


def _acts(answer: Callable[[Params], Answer], **members: str) -> OwnRequest:
    def function(_backend: Backend, _context: Context, params: Params) -> Answer:
        return answer(params)

    return acts(administers(function), **members)


def _resource(params: Params) -> str:
    name = params.get("resourceName", EVERY)
    if name == EVERY and "resourceName" in params:
        raise InvalidInputException("resourceName is empty: leave it out to mean every snapshot.")
    return str(name)


def _number(params: Params, name: str, default: int, least: int, most: int) -> int:
    number = params.get(name, default)
    if not isinstance(number, int) or not least <= number <= most:
        raise InvalidInputException(f"{name} must be a whole number from {least} to {most}.")
    return number

"""The action `wait_for_emotion`: several clients wait at once, and none of them holds up the executor or the worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mser_msgs.action import WaitForEmotion
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType

from ..errors import RequestError
from ..messages import conversions
from ..stages.waiting import Wait, check_goal
from ..types import Goal, Outcome, PersonState, Progress
from .base import PerceptionNode

#: How often a wait is looked at, and its client told [s].
PERIOD_S = 0.1
#: Goals that may wait at once: all may end together, and ROS keeps ten answers for a client, others' among them.
_MOST = 8
#: How long nobody must have listened to feedback until nobody is thought to wait any more [s].
_ALONE_S = 1.0


@dataclass(eq=False)
class _Open:
    handle: Any
    wait: Wait
    newest: Progress = field(default_factory=Progress)
    was_heard: bool = False  # by somebody who listens to feedback, whom the graph may know only after the goal

    @property
    def key(self) -> bytes:
        return bytes(self.handle.goal_id.uuid)


class WaitServer:
    """Serves the action for a node, from its making until `destroy`.

    `look` gives everybody's state at a time; the node's worker calls it, and decides by it. The executor alone speaks
    with clients. A goal is not executed before it is decided: a coroutine that waits would keep rclpy's executor busy.
    When all clients are gone, as a planner that was ended or has crashed, so are their goals.
    """

    def __init__(
        self,
        node: PerceptionNode,
        look: Callable[[int], Sequence[PersonState]],
        labels: Callable[[], Any],
        current_name: Callable[[str], str],
    ) -> None:
        """`labels`: the classes that may be waited for, once the node is configured. `current_name`: how who went by a
        name is called now; the worker asks it."""
        self._node = node
        self._look = look
        self._labels = labels
        self._current_name = current_name
        self._open: dict[bytes, _Open] = {}
        self._news: deque[tuple[_Open, Progress]] = deque()
        self._ended: dict[bytes, Progress] = {}
        self._heard_s = 0.0
        # Steady, so that a client can cancel while the simulation is paused.
        self._ticks = node.create_timer(PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._ticks.cancel()
        self._alarm = node.create_guard_condition(self._answer)
        self._server = ActionServer(
            node,
            WaitForEmotion,
            "wait_for_emotion",
            self._conclude,
            goal_callback=self._judge_goal,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    @property
    def waiting(self) -> int:
        """How many goals wait."""
        return len(self._open)

    @property
    def is_answering(self) -> bool:
        """Whether the executor has a result to send yet."""
        return bool(self._ended)

    def preempt(self) -> None:
        """End every wait: the node stops. What has been decided is still told."""
        self._answer()
        for item in list(self._open.values()):
            self._end(item, Outcome.PREEMPTED)

    def destroy(self) -> None:
        self._server.destroy()

    def _judge_goal(self, request: WaitForEmotion.Goal) -> GoalResponse:
        try:
            self._read(request)
        except RequestError as error:
            self._node.contain(error)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _read(self, request: WaitForEmotion.Goal) -> Goal:
        if not self._node.is_working:
            raise RequestError("a goal of wait_for_emotion came while the node is not active: activate it first")
        if len(self._open) >= _MOST:
            raise RequestError(f"{_MOST} goals of wait_for_emotion wait already: cancel those that nobody needs")
        goal = conversions.goal_from_msg(request)
        check_goal(goal, self._labels())
        return goal

    def _begin(self, handle: Any) -> None:
        goal = conversions.goal_from_msg(handle.request)
        item = _Open(handle, Wait(goal, self._node.now_ns()))
        self._open[item.key] = item
        self._ticks.reset()
        self._tick()

    def _tick(self) -> None:
        waits = list(self._open.values())
        for item in waits:
            if item.handle.is_cancel_requested:
                self._end(item, Outcome.CANCELLED)
        self._leave_the_lonely()
        if not self._open:
            self._ticks.cancel()
        else:
            self._node.submit_due("waits", lambda: self._decide(waits))

    def _leave_the_lonely(self) -> None:
        """End the goals for which nobody waits any more: they would wait for ever, and keep others out."""
        now_s = time.monotonic()
        if self._node.count_subscribers("wait_for_emotion/_action/feedback"):
            self._heard_s = now_s
            for item in self._open.values():
                item.was_heard = True
        elif now_s - self._heard_s > _ALONE_S and (lonely := [item for item in self._open.values() if item.was_heard]):
            self._node.get_logger().info(f"goals of wait_for_emotion whose clients have gone: {len(lonely)}, ended")
            for item in lonely:
                self._end(item, Outcome.PREEMPTED)

    def _decide(self, waits: Sequence[_Open]) -> None:
        """In the worker, to which the states belong."""
        now_ns = self._node.now_ns()
        states = self._look(now_ns)
        self._news += [(item, item.wait.look(states, now_ns, self._current_name)) for item in waits]
        self._alarm.trigger()

    def _answer(self) -> None:
        while self._news:
            item, progress = self._news.popleft()
            if item.key not in self._open:
                continue
            item.newest = progress
            if progress.outcome is not None:
                self._end(item, progress.outcome)
            else:
                fields = conversions.progress_to_fields(progress)
                item.handle.publish_feedback(conversions.fill(WaitForEmotion.Feedback(), fields))

    def _end(self, item: _Open, outcome: Outcome) -> None:
        del self._open[item.key]
        executor = self._node.executor
        if executor is not None and self._node in executor.get_nodes():  # else nobody spins it, who could send it
            self._ended[item.key] = replace(item.newest, outcome=outcome)
            item.handle.execute()

    def _conclude(self, handle: Any) -> WaitForEmotion.Result:
        key = bytes(handle.goal_id.uuid)
        progress = self._ended[key]
        if handle.is_cancel_requested:  # since it was decided, perhaps
            progress = replace(progress, outcome=Outcome.CANCELLED)
            handle.canceled()
        elif progress.outcome is Outcome.REACHED:
            handle.succeed()
        else:
            handle.abort()
        # The executor sends the result when this has returned, and comes to the task after that.
        if self._node.executor is not None:
            self._node.executor.create_task(self._ended.pop, key)
        return conversions.fill(WaitForEmotion.Result(), conversions.outcome_to_fields(progress))

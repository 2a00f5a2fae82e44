"""Comforts who is sad and is glad after it, as a behaviour tree: a leaf that waits for an emotion, and one that speaks.

Run it beside the nodes: pip install py_trees; python examples/comfort_tree.py
"""

from contextlib import suppress

import py_trees
import rclpy
from mser_msgs.action import WaitForEmotion
from py_trees.common import Status
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException


class WaitForEmotionLeaf(py_trees.behaviour.Behaviour):
    """RUNNING while it waits, SUCCESS when that is reached, else FAILURE; cancelled where the tree turns elsewhere."""

    def __init__(self, node, **goal):
        super().__init__(f"wait for {' or '.join(goal['labels'])}")
        self.client, self.goal = ActionClient(node, WaitForEmotion, "wait_for_emotion"), WaitForEmotion.Goal(**goal)

    def setup(self, **_):
        self.client.wait_for_server()

    def initialise(self):
        self.answer, self.result = self.client.send_goal_async(self.goal), None

    def update(self):
        if self.result is None and self.answer.done():
            if not self.answer.result().accepted:
                return Status.FAILURE
            self.result = self.answer.result().get_result_async()
        if self.result is None or not self.result.done():
            return Status.RUNNING
        reached = self.result.result().result.outcome == WaitForEmotion.Result.REACHED
        return Status.SUCCESS if reached else Status.FAILURE

    def terminate(self, new_status):
        if new_status == Status.INVALID and self.answer.done() and self.answer.result().accepted:
            self.answer.result().cancel_goal_async()


class Say(py_trees.behaviour.Behaviour):
    def update(self):
        print(self.name, flush=True)
        return Status.SUCCESS


if __name__ == "__main__":
    rclpy.init()
    node = rclpy.create_node("comfort_tree")
    steps = [  # the sequence begins anew after the last one, so that nobody is comforted again before they felt better
        WaitForEmotionLeaf(node, labels=["sad"], confidence=0.5, duration_s=2.0),
        Say("I am sorry. Shall I stay?"),
        WaitForEmotionLeaf(node, labels=["happy", "neutral"], confidence=0.5, duration_s=2.0),
        Say("I am glad that you feel better."),
    ]
    tree = py_trees.trees.BehaviourTree(py_trees.composites.Sequence("comfort", memory=True, children=steps))
    tree.setup()
    node.create_timer(0.1, tree.tick)
    with suppress(KeyboardInterrupt, ExternalShutdownException):  # rclpy's own handler of Ctrl-C shuts down
        rclpy.spin(node)

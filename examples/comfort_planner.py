"""A planner that asks who cannot be read, comforts who has been sad for two seconds, and is glad when that is over.

Run it beside the nodes: python examples/comfort_planner.py
"""

from contextlib import suppress
from itertools import cycle

import rclpy
from mser_msgs.action import WaitForEmotion
from mser_msgs.msg import Emotion
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException

steps = cycle([(["sad"], "I am sorry. Shall I stay?"), (["happy", "neutral"], "I am glad that you feel better.")])
labels, words = next(steps)
asked = None  # what is being waited for


def on_emotion(message):
    if message.state == Emotion.FINAL and message.label == "unknown":
        print("How are you?", flush=True)


def ask():
    """Called every second: a goal is over once the emotion node was deactivated or has ended."""
    global asked
    if not client.server_is_ready():
        asked = None
    elif asked is None:
        goal = WaitForEmotion.Goal(labels=labels, confidence=0.5, duration_s=2.0)
        asked = client.send_goal_async(goal)
        asked.add_done_callback(on_answer)


def on_answer(future):
    global asked
    if future.result().accepted:
        future.result().get_result_async().add_done_callback(on_result)
    else:
        asked = None


def on_result(future):
    global asked, labels, words
    asked = None
    if future.result().result.outcome == WaitForEmotion.Result.REACHED:
        print(words, flush=True)
        labels, words = next(steps)


rclpy.init()
node = rclpy.create_node("comfort_planner")
node.create_subscription(Emotion, "emotion", on_emotion, 10)
client = ActionClient(node, WaitForEmotion, "wait_for_emotion")
node.create_timer(1.0, ask)
with suppress(KeyboardInterrupt, ExternalShutdownException):  # rclpy's own handler of Ctrl-C shuts down
    rclpy.spin(node)

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

STEPS = cycle([(["sad"], "I am sorry. Shall I stay?"), (["happy", "neutral"], "I am glad that you feel better.")])


def on_emotion(message):
    if message.state == Emotion.FINAL and message.label == "unknown":
        print("How are you?", flush=True)


def wait_for_the_next():
    labels, words = next(STEPS)
    goal = WaitForEmotion.Goal(labels=labels, confidence=0.5, duration_s=2.0)

    def on_result(future):
        if future.result().result.outcome == WaitForEmotion.Result.REACHED:
            print(words, flush=True)
            wait_for_the_next()

    def on_answer(future):
        if future.result().accepted:
            future.result().get_result_async().add_done_callback(on_result)

    client.send_goal_async(goal).add_done_callback(on_answer)


rclpy.init()
node = rclpy.create_node("comfort_planner")
node.create_subscription(Emotion, "emotion", on_emotion, 10)
client = ActionClient(node, WaitForEmotion, "wait_for_emotion")
client.wait_for_server()
wait_for_the_next()
with suppress(KeyboardInterrupt, ExternalShutdownException):  # rclpy's own handler of Ctrl-C shuts down
    rclpy.spin(node)

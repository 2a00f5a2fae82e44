"""Multimodal emotion recognition for ROS 2 robots: hear, read and see a person, tell what that person feels."""

__version__ = "0.1.0"

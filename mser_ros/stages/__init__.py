"""The stages of the path and the path itself, without ROS: chunks and frames in, utterances and estimates out."""

"""What messages, bags and records of this package look like: the only words of ROS outside the nodes."""

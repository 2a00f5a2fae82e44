"""A page that shows what the robot hears, sees and believes, for people who watch. Nothing here knows ROS."""

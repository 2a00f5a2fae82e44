"""What networks of full size cost."""

"""Bodies in pictures: BlazePose under LiteRT, people followed from image to image, films and cameras."""

"""Rules for images, files, audio and video: what a model accepts, how much of it, and which addresses may be fetched."""

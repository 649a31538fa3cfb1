"""The images, built and tried: needs a container engine, and is run by ``make containers`` alone."""

"""mooringd doctor, and the questions that it asks."""

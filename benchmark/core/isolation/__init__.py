"""Methods in processes of their own: each holds one side's data, and only encoded messages leave it."""

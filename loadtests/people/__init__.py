"""People as they behave, for Locust. Its process alone imports the users: Locust patches what it runs in."""
